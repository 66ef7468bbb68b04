-- What operators have turned off and on again, in their order; see `stead_ports::switches`.
CREATE TABLE switches (
    number bigint PRIMARY KEY,
    tenant text NOT NULL,
    what text NOT NULL,
    name text NOT NULL,
    turned_on bigint NOT NULL,
    turned_by text NOT NULL,
    at bigint NOT NULL,
    reason text NOT NULL,
    heard bigint NOT NULL
);
CREATE INDEX switches_tenant ON switches (tenant, number);
