"""Reading a platform, for the components that do: galley its configuration, registry its services."""
