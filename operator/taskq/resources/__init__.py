"""What users write: the pydantic models of the four kinds, and the CRDs made from them."""
