-- What operators have turned off and on again, in their order; see `stead_ports::switches`.
CREATE TABLE switches (
    number INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    what TEXT NOT NULL,
    name TEXT NOT NULL,
    turned_on INTEGER NOT NULL,
    turned_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    heard INTEGER NOT NULL
) STRICT;
CREATE INDEX switches_tenant ON switches (tenant, number);
