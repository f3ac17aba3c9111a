"""Loaded before the settings (see addopts): the environment that the tests run in."""

import os
import tempfile

os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "0123456789" * 5)
os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="deliveries-tests-"))
os.environ.setdefault("HTTPS", "0")
os.environ.setdefault("EMAIL_URL", "memorymail://")
os.environ.setdefault("LOG_LEVEL", "WARNING")
os.environ.setdefault("AUDIT_TRIGGERS", "0")  # transactional tests empty the tables
os.environ.setdefault("UNDO_SECONDS", "0")
os.environ.setdefault("API_ANONYMOUS_PER_MINUTE", "100000")  # tests ask by the hundred
os.environ.setdefault("API_PER_MINUTE", "100000")
