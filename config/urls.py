"""The URL table of the whole product."""

from django.contrib import admin
from django.urls import include, path
from django.utils.translation import gettext_lazy as _
from django.views.generic import RedirectView

from campaigns.accounts import languages
from campaigns.accounts.login import LoginForm, second_factor_page
from campaigns.accounts.staff_mail_pages import my_notices
from campaigns.admin.tokens import tokens_page
from campaigns.core import time_zones
from config.help.pages import help_page
from deliveries.workers.health import healthz
from reporting.figures.prometheus import metrics

admin.site.site_header = admin.site.site_title = _("Deliveries back office")
admin.site.index_title = _("Back office")
admin.site.site_url = None  # the admin is the site
admin.site.login_form = LoginForm
admin.site.login_template = "campaigns/login.html"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("", include("deliveries.admin.urls")),  # before the admin, whose addresses it shares
    path("api/", include("config.api_urls")),
    path("healthz", healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
    path("language/", languages.choose, name="set_language"),
    path("", include("deliveries.api.public_urls")),
    path("", include("reporting.urls")),
    path("admin/tokens/", admin.site.admin_view(tokens_page), name="api-tokens"),
    path("admin/my-time-zone/", admin.site.admin_view(time_zones.choose), name="my-time-zone"),
    path("admin/my-notices/", admin.site.admin_view(my_notices), name="my-notices"),
    path("admin/second-factor/", admin.site.admin_view(second_factor_page), name="second-factor"),
    path("admin/help/", admin.site.admin_view(help_page), name="help-index"),
    path("admin/help/<path:page>/", admin.site.admin_view(help_page), name="help"),
    path("admin/", admin.site.urls),
]
