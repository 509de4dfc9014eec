-- Messages are numbered by a function, which the relay calls, and on the node whose relay leads each create too, in its
-- own transaction: what it writes is in the log, and on its way, with one commit instead of two.

-- Moves the first `most` rows of the outbox into the log, numbered in the order of their ids; these are the rows
-- returned. The head of the log is locked until the transaction has ended, so numbers enter the log in the order of
-- commits, and each has its message, whoever calls. It is the last that a transaction locks: who holds it waits for
-- nobody. `patient`: wait for it; otherwise, if another holds it, nothing is done, and one row without a number says so.
create function callboard.number_outbox(most integer, patient boolean)
returns table (
  seq bigint, epoch text, namespace text, rooms text[], name text, payload text, created_at timestamptz
)
language plpgsql volatile
as $$
#variable_conflict use_column
declare
  moment timestamptz;
begin
  if not exists (select from callboard.outbox) then
    return;
  end if;
  if patient then
    perform from callboard.log_head for update;
  else
    perform from callboard.log_head for update skip locked;
    if not found then
      return query select null::bigint, '', null, null::text[], null, null, null::timestamptz;
      return;
    end if;
  end if;
  -- A message that was delivered must never be lost by a crash: its number would be given again.
  if current_setting('synchronous_commit') not in ('on', 'remote_apply') then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  moment := clock_timestamp();  -- in the order of the numbers, as partitions go
  -- A statement of its own, so that it sees what was committed before the lock was free.
  return query
  with moved as (
    delete from callboard.outbox o
    where o.id = any (array(select first.id from callboard.outbox first order by first.id limit most))
    returning o.id, o.namespace, o.rooms, o.name, o.payload, o.created_at
  ), head as (
    update callboard.log_head h
    set seq = h.seq + (select count(*) from moved)
    where exists (select from moved)
    returning h.epoch, h.seq, pg_notify('callboard_log', h.seq::text)
  ), logged as (
    insert into callboard.message_log as l (seq, logged_at, created_at, namespace, rooms, name, payload)
    select head.seq - count(*) over () + row_number() over (order by moved.id),
           moment, moved.created_at, moved.namespace, moved.rooms, moved.name, moved.payload
    from moved cross join head
    returning l.seq, l.namespace, l.rooms, l.name, l.payload, l.created_at
  )
  select logged.seq, head.epoch, logged.namespace, logged.rooms, logged.name, logged.payload, logged.created_at
  from logged cross join head
  order by logged.seq;
end
$$;
comment on function callboard.number_outbox(integer, boolean) is
  'Private. Numbers committed messages and those of the calling transaction; for short transactions, as their last act.';
