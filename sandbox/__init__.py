"""A local world to try and test the product against: stand-ins for the vendors, a host, sample data, a page."""
