@_exported import coremldelegate
