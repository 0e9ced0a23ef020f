-- A journal as release 0.1 left it, with a row in each table.
PRAGMA journal_mode = WAL;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
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
	PRIMARY KEY (number)
);
INSERT INTO "audit" VALUES(1,1767258800000000,'sign_on.refused','desk-1','J40217',NULL,'10.0.0.23',NULL,'E101','unknown user or password');
CREATE TABLE event (
	number INTEGER NOT NULL,
	msn BIGINT NOT NULL,
	at BIGINT NOT NULL,
	event TEXT NOT NULL,
	destination TEXT,
	detail TEXT,
	PRIMARY KEY (number)
);
INSERT INTO "event" VALUES(1,41,1767258900000000,'routed','line:clets-a',NULL);
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
INSERT INTO "message" VALUES(41,1767258900000000,'outbound','inquiry','desk-1',NULL,'J40217',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'RQ',41,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE INDEX ix_message_transaction ON message ("transaction");
CREATE INDEX ix_event_msn ON event (msn);
COMMIT;
