-- The tables of the monitor's store as they were before it had migrations.
CREATE TABLE appearances (
    model VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    since FLOAT NOT NULL,
    PRIMARY KEY (model, version)
);
CREATE TABLE events (
    id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    type VARCHAR NOT NULL,
    PRIMARY KEY (id, source, type)
)
 WITHOUT ROWID;
CREATE TABLE findings (
    id VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    window INTEGER NOT NULL,
    event BLOB NOT NULL,
    open INTEGER NOT NULL,
    emitted FLOAT,
    PRIMARY KEY (id)
);
CREATE INDEX ix_findings_model ON findings (model);
CREATE TABLE labels (
    model VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL,
    value BLOB NOT NULL,
    time FLOAT NOT NULL,
    received FLOAT NOT NULL,
    PRIMARY KEY (model, "key")
)
 WITHOUT ROWID;
CREATE TABLE responses (
    id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    received FLOAT NOT NULL,
    predictions BLOB NOT NULL,
    PRIMARY KEY (id, source)
);
CREATE TABLE rows (
    seq INTEGER NOT NULL,
    model VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    "key" VARCHAR NOT NULL,
    time FLOAT,
    received FLOAT NOT NULL,
    features BLOB NOT NULL,
    prediction BLOB,
    window INTEGER,
    PRIMARY KEY (seq)
);
CREATE UNIQUE INDEX rows_event ON rows (id, source, position);
CREATE INDEX rows_key ON rows (model, "key");
CREATE INDEX rows_window ON rows (model, version, window, time);
CREATE TABLE scores (
    model VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL,
    "row" INTEGER NOT NULL,
    prediction BLOB,
    PRIMARY KEY (model, version, "key")
)
 WITHOUT ROWID;
CREATE TABLE watermarks (
    model VARCHAR NOT NULL,
    time FLOAT NOT NULL,
    PRIMARY KEY (model)
);
CREATE TABLE windows (
    model VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    window INTEGER NOT NULL,
    start FLOAT NOT NULL,
    "end" FLOAT NOT NULL,
    rows INTEGER NOT NULL,
    closed FLOAT NOT NULL,
    quality BLOB,
    drift BLOB,
    performance BLOB,
    PRIMARY KEY (model, version, window)
);
