"""Who and what there is: agencies, users, devices, mnemonics and operators, in memory and in the database."""
