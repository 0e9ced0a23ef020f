"""Backup and restore: the whole journal in one encrypted file that any kind of database can be made from."""
