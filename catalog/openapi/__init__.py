"""Reads OpenAPI 3.0, 3.1 and Swagger 2.0 as what they say about routing. Touches no row and no network."""
