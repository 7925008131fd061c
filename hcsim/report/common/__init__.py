"""What every page is made of: the answer, the map to point at, tables, pictures with their data, one look."""
