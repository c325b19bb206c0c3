"""How the pictures of the demo data set are drawn: chance, shapes, paint, animals, scenes, and a picture of them."""
