"""The documents of config/docs as pages for staff, and which page of the admin leads to which of them."""
