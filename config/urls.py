"""The URL table of the whole product."""

from django.contrib import admin
from django.urls import include, path
from django.utils.translation import gettext_lazy as _
from django.views.generic import RedirectView

from campaigns import languages, zones
from campaigns.admin_tokens import tokens_page
from campaigns.login import LoginForm, second_factor_page
from campaigns.notice_pages import my_notices
from deliveries.health import healthz
from reporting.metrics import metrics

admin.site.site_header = admin.site.site_title = _("Deliveries back office")
admin.site.index_title = _("Back office")
admin.site.site_url = None  # the admin is the site
admin.site.login_form = LoginForm
admin.site.login_template = "campaigns/login.html"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("", include("deliveries.admin_urls")),  # before the admin, whose addresses it shares
    path("api/", include("config.api")),
    path("healthz", healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
    path("language/", languages.choose, name="set_language"),
    path("", include("deliveries.urls")),
    path("", include("reporting.urls")),
    path("admin/tokens/", admin.site.admin_view(tokens_page), name="api-tokens"),
    path("admin/my-time-zone/", admin.site.admin_view(zones.choose), name="my-time-zone"),
    path("admin/my-notices/", admin.site.admin_view(my_notices), name="my-notices"),
    path("admin/second-factor/", admin.site.admin_view(second_factor_page), name="second-factor"),
    path("admin/", admin.site.urls),
]
