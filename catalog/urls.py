from django.urls import path

from catalog.views import logos, product_forms, products, services

app_name = "catalog"

urlpatterns = [
    path("logos/<uuid:pk>.png", logos.logo, name="logo"),
    path("provider/api-services", services.services, name="services"),
    path("provider/api-services/<uuid:pk>", services.detail, name="service"),
    path("provider/products", products.products, name="products"),
    path("provider/products/new", product_forms.new, name="new_product"),
    path("provider/products/<uuid:pk>", products.detail, name="product"),
    path("provider/products/<uuid:pk>/edit", product_forms.edit, name="edit_product"),
    path("provider/products/<uuid:pk>/delete", product_forms.delete, name="delete_product"),
]
