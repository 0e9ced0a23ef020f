-- The tables of a journal of revision 0002, as the releases between 0.1 and the chained journal made them.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE audit (
	number INTEGER NOT NULL,
	at BIGINT NOT NULL,
	event TEXT NOT NULL,
	device TEXT,
	user TEXT,
	mnemonic TEXT,
	source TEXT,
	session TEXT,
	code TEXT,
	detail TEXT,
	subject TEXT,
	reason TEXT,
	PRIMARY KEY (number)
);
CREATE TABLE event (
	number INTEGER NOT NULL,
	msn BIGINT NOT NULL,
	at BIGINT NOT NULL,
	event TEXT NOT NULL,
	destination TEXT,
	detail TEXT,
	PRIMARY KEY (number)
);
CREATE TABLE message (
	msn INTEGER NOT NULL,
	received BIGINT NOT NULL,
	direction TEXT NOT NULL,
	kind TEXT NOT NULL,
	device TEXT,
	line TEXT,
	user TEXT,
	agency TEXT,
	ori TEXT,
	mnemonic TEXT,
	header TEXT,
	own_header TEXT,
	oif TEXT,
	taf TEXT,
	"key" TEXT,
	system TEXT,
	"database" TEXT,
	text TEXT NOT NULL,
	"transaction" BIGINT,
	ref TEXT,
	requester TEXT,
	secondary TEXT,
	priority TEXT,
	reason TEXT,
	code TEXT,
	sequence BIGINT,
	session TEXT,
	PRIMARY KEY (msn)
);
CREATE INDEX ix_message_transaction ON message ("transaction");
CREATE INDEX ix_event_msn ON event (msn);
CREATE INDEX ix_audit_event_at ON audit (event, at);
CREATE INDEX ix_audit_device_at ON audit (device, at);
CREATE INDEX ix_audit_at ON audit (at);
CREATE INDEX ix_audit_user_at ON audit (user, at);
COMMIT;
