// Version of this package, as peers and people see it.

export const RELEASE = "0.1.0";
