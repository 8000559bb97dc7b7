-- What nobody reads any more.
DROP TABLE code_key_checks;
