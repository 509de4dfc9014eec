-- Creates that share a statement do not wait together for what one of them waits for: a transaction that has notified the
-- same person and stays open. Who gave up is done alone, and waits alone.
alter function callboard.create_each(
  text[], text[], text[], text[], jsonb[], text[], text[], text[], text[], text[], integer[])
  set lock_timeout = '250ms';
