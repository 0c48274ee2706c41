from django.urls import path

from catalog.views import (
    certificates,
    gateways,
    imports,
    logos,
    parts,
    product_forms,
    products,
    services,
)

app_name = "catalog"

urlpatterns = [
    path("logos/<uuid:pk>.png", logos.logo, name="logo"),
    path("provider/api-services", services.services, name="services"),
    path("provider/api-services/new", services.new, name="new_service"),
    path("provider/api-services/import", imports.new, name="new_import"),
    path("provider/api-services/<uuid:pk>", services.detail, name="service"),
    path("provider/api-services/<uuid:pk>/uses", services.uses, name="service_uses"),
    path("provider/api-services/<uuid:pk>/edit", services.edit, name="edit_service"),
    path("provider/api-services/<uuid:pk>/delete", services.delete, name="delete_service"),
    path("provider/api-services/<uuid:pk>/import", imports.again, name="import_again"),
    path("provider/api-services/<uuid:pk>/routes/new", parts.new_route, name="new_route"),
    path("provider/api-services/<uuid:pk>/backends/new", parts.new_backend, name="new_backend"),
    path("provider/api-services/<uuid:pk>/policies/<slug:kind>", parts.put_policy, name="policy"),
    path(
        "provider/api-services/<uuid:pk>/policies/<slug:kind>/remove",
        parts.remove_policy,
        name="remove_policy",
    ),
    path("provider/routes/<uuid:pk>/edit", parts.edit_route, name="edit_route"),
    path("provider/routes/<uuid:pk>/remove", parts.remove_route, name="remove_route"),
    path("provider/backends/<uuid:pk>/edit", parts.edit_backend, name="edit_backend"),
    path("provider/backends/<uuid:pk>/remove", parts.remove_backend, name="remove_backend"),
    path("provider/api-services/imports/<uuid:pk>", imports.preview, name="import"),
    path("provider/api-services/imports/<uuid:pk>/apply", imports.apply, name="apply_import"),
    path("provider/api-services/imports/<uuid:pk>/retry", imports.retry, name="retry_import"),
    path("provider/api-services/imports/<uuid:pk>/discard", imports.discard, name="discard_import"),
    path("provider/products", products.products, name="products"),
    path("provider/products/new", product_forms.new, name="new_product"),
    path("provider/products/<uuid:pk>", products.detail, name="product"),
    path("provider/products/<uuid:pk>/waiting", products.waiting, name="product_waiting"),
    path("provider/products/<uuid:pk>/edit", product_forms.edit, name="edit_product"),
    path("provider/products/<uuid:pk>/delete", product_forms.delete, name="delete_product"),
    path("provider/gateways", gateways.gateways, name="gateways"),
    path("provider/gateways/new", gateways.new, name="new_gateway"),
    path("provider/gateways/<uuid:pk>", gateways.detail, name="gateway"),
    path("provider/gateways/<uuid:pk>/edit", gateways.edit, name="edit_gateway"),
    path("provider/gateways/<uuid:pk>/delete", gateways.delete, name="delete_gateway"),
    path("provider/certificates", certificates.certificates, name="certificates"),
    path("provider/certificates/new", certificates.new, name="new_certificate"),
    path("provider/certificates/<uuid:pk>", certificates.detail, name="certificate"),
    path(
        "provider/certificates/<uuid:pk>/replace", certificates.replace, name="replace_certificate"
    ),
    path("provider/certificates/<uuid:pk>/rename", certificates.rename, name="rename_certificate"),
    path("provider/certificates/<uuid:pk>/delete", certificates.delete, name="delete_certificate"),
]
