"""What tests share: small projects, real corpora, real models, real registries."""
