-- A directory as release 0.1 left it, with rows in each table.
BEGIN TRANSACTION;
CREATE TABLE agency (
	agency VARCHAR NOT NULL, 
	title VARCHAR NOT NULL, 
	ori VARCHAR NOT NULL, 
	suspended BOOLEAN NOT NULL, 
	PRIMARY KEY (agency), 
	UNIQUE (ori)
);
INSERT INTO "agency" VALUES('EXLP','Police','CA0980000',0);
INSERT INTO "agency" VALUES('FIRE','Fire','CA0981100',1);
CREATE TABLE device (
	device VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	agency VARCHAR NOT NULL, 
	mnemonic VARCHAR, 
	pool VARCHAR, 
	delegated BOOLEAN NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	staffed BOOLEAN NOT NULL, 
	location VARCHAR NOT NULL, 
	PRIMARY KEY (device), 
	UNIQUE (mnemonic)
);
INSERT INTO "device" VALUES('desk-1','terminal','EXLP','A123',NULL,0,1,1,'Room 7');
INSERT INTO "device" VALUES('car-1','terminal','EXLP',NULL,'cars',0,0,0,'');
INSERT INTO "device" VALUES('printer-1','printer','EXLP','P001',NULL,0,1,0,'');
INSERT INTO "device" VALUES('cad-1','host','EXLP','CD01',NULL,1,1,0,'');
CREATE TABLE mnemonic (
	mnemonic VARCHAR NOT NULL, 
	agency VARCHAR NOT NULL, 
	pool VARCHAR, 
	databases VARCHAR NOT NULL, 
	functions VARCHAR NOT NULL, 
	PRIMARY KEY (mnemonic)
);
INSERT INTO "mnemonic" VALUES('A123','EXLP',NULL,'*','*');
INSERT INTO "mnemonic" VALUES('P001','EXLP',NULL,'*','');
INSERT INTO "mnemonic" VALUES('CD01','EXLP',NULL,'*','*');
INSERT INTO "mnemonic" VALUES('M001','EXLP','cars','SVS WPS','inquiry');
CREATE TABLE pool (
	pool VARCHAR NOT NULL, 
	agency VARCHAR NOT NULL, 
	approval VARCHAR NOT NULL, 
	unsolicited_to VARCHAR, 
	PRIMARY KEY (pool)
);
INSERT INTO "pool" VALUES('cars','EXLP','APB 2020-17','printer-1');
CREATE TABLE user (
	user VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	agency VARCHAR NOT NULL, 
	operator_class VARCHAR NOT NULL, 
	password_hash VARCHAR NOT NULL, 
	otp_secret VARCHAR, 
	otp_step BIGINT NOT NULL, 
	status VARCHAR NOT NULL, 
	locked_at BIGINT, 
	cleared DATE, 
	certified DATE, 
	statement DATE, 
	password_expires DATE, 
	previous_sign_on BIGINT, 
	failed_since INTEGER NOT NULL, 
	PRIMARY KEY (user)
);
INSERT INTO "user" VALUES('J40217','DOE, JOHN','EXLP','full_access','$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA','GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ',58994910,'active',NULL,'2024-01-02','2025-03-04','2024-01-05','2026-04-01',1767258800000000,2);
INSERT INTO "user" VALUES('F00001','O''HARA, ANN','FIRE','less_than_full_access','$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',NULL,0,'suspended',1767258900000000,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "user" VALUES('F00002','ROE, RICHARD','FIRE','practitioner','$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',NULL,0,'disabled',NULL,NULL,NULL,NULL,NULL,NULL,0);
COMMIT;
