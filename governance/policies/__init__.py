"""The shipped policy texts and the schema that every policy text has to meet. Data; read by governance.policy."""
