-- What becomes of notifications with time: holds end, folds go out, what has expired or is old goes away.
--
-- Each function takes the moment that it is asked for, does at most `most` rows in one transaction, passes over rows
-- that somebody else has locked, and writes messages to the outbox; NOTIFY is left to the caller.

create function callboard.uuid_floor(moment timestamptz) returns uuid
language sql immutable parallel safe
return (lpad(to_hex(floor(extract(epoch from moment) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid;
comment on function callboard.uuid_floor(timestamptz) is 'Private. No UUIDv7 made at the moment or later is smaller.';

-- In the order in which the holds end, and then in that of creation. The decision is made again: a status, quiet hours
-- or mutes may have changed meanwhile. `arrived_at` is a microsecond later for each notification, so that the list
-- keeps that order; copies of one notification that arrive together share their message.
create function callboard.release_held(moment timestamptz, most integer, out due integer, out released integer)
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  arriving record;
begin
  due := 0;
  released := 0;
  for arriving in
    with held as materialized (
      select r.notification_id, r.user_id, r.held_until,
             coalesce(r.used ? 'urgent_joined', false) as urgent
      from callboard.notification_recipients r
      where r.held_until <= moment
      order by r.held_until, r.notification_id
      limit most
      for update skip locked
    ), decided as materialized (
      select h.notification_id, h.user_id,
             dense_rank() over (order by h.held_until, h.notification_id) as place, made.*
      from held h
      join callboard.notifications n on n.id = h.notification_id
      left join callboard.notification_preferences p on p.user_id = h.user_id
      left join callboard.attention a on a.user_id = h.user_id
      cross join lateral callboard.decide(
        row(n.type, case when h.urgent then 'urgent' else n.priority end, n.resource_type, n.resource_id, p.muted_types,
            p.muted_resources, p.types, p.quiet_hours, a.status, a.until, false, false, null, null, null
            )::callboard.decision_inputs, moment) made
    ), changed as (
      update callboard.notification_recipients r
      set held_until = d.held_until,
          arrived_at = case when d.outcome = 'now' then moment + d.place * interval '1 microsecond' end,
          -- What let it go is not why it was held.
          outcome = case when d.outcome = 'now' then r.outcome else d.outcome end,
          rule = case when d.outcome = 'now' then r.rule else d.rule end,
          used = case when d.outcome = 'now' then r.used else d.used end,
          group_open = r.group_open and d.outcome <> 'suppressed'
      from decided d
      where r.notification_id = d.notification_id and r.user_id = d.user_id
      returning r as copy, r.notification_id, r.user_id, r.group_latest, r.expires_at, d.place, d.outcome
    ), told as (
      select c.place, c.user_id, c.outcome = 'now' as now,
             case when c.outcome = 'now' and (c.expires_at is null or c.expires_at > moment) then
               callboard.notification_payload(n, callboard.shown_content(n, c.group_latest), c.copy) end as payload
      from changed c
      join callboard.notifications n on n.id = c.notification_id
    )
    select min(told.place) as place, told.payload, count(*) as due, count(*) filter (where told.now) as released,
           array_agg('user:' || told.user_id order by told.user_id collate "C") as rooms
    from told
    group by told.payload
    order by 1
  loop
    due := due + arriving.due;
    released := released + arriving.released;
    if arriving.payload is not null then
      perform callboard.enqueue_text(arriving.rooms, 'notification:new', arriving.payload, '/feed');
    end if;
  end loop;
end
$$;
comment on function callboard.release_held(timestamptz, integer) is
  'Private. Lets what is held until the moment arrive, or holds it longer.';

-- Called when something that a decision looks at has changed for a user: release_held decides again at once.
create function callboard.reconsider_held(user_id text) returns void
language sql volatile
as $$
  update callboard.notification_recipients r
  set held_until = statement_timestamp()
  where r.user_id = $1 and r.held_until > statement_timestamp()
$$;
comment on function callboard.reconsider_held(text) is 'Private. Have what is held for a user decided again.';

create function callboard.send_folds(moment timestamptz, most integer) returns integer
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  updated record;
  sent integer := 0;
begin
  for updated in
    with folded as materialized (
      select r.notification_id, r.user_id, dense_rank() over (order by r.fold_due, r.notification_id) as place
      from (
        select * from callboard.notification_recipients
        where fold_due <= moment
        order by fold_due, notification_id
        limit most
        for update skip locked
      ) r
    ), changed as (
      update callboard.notification_recipients r
      set fold_due = null,
          fold_pending = 0,
          -- A group that has grown comes to the top.
          arrived_at = moment + f.place * interval '1 microsecond',
          revision = r.revision + 1
      from folded f
      where r.notification_id = f.notification_id and r.user_id = f.user_id
      returning r as copy, r.notification_id, r.user_id, r.group_latest, r.expires_at, f.place
    ), told as (
      select c.place, c.user_id,
             case when c.expires_at is null or c.expires_at > moment then
               callboard.notification_payload(n, callboard.shown_content(n, c.group_latest), c.copy) end as payload
      from changed c
      join callboard.notifications n on n.id = c.notification_id
    )
    select min(told.place) as place, told.payload, count(*) as copies,
           array_agg('user:' || told.user_id order by told.user_id collate "C") as rooms
    from told
    group by told.payload
    order by 1
  loop
    sent := sent + updated.copies;
    if updated.payload is not null then
      perform callboard.enqueue_text(updated.rooms, 'notification:updated', updated.payload, '/feed');
    end if;
  end loop;
  return sent;
end
$$;
comment on function callboard.send_folds(timestamptz, integer) is
  'Private. Tells clients of groups that have grown, once each is full or old enough.';

-- Removes copies and tells the clients that may show them.
create function callboard.remove_copies(ids uuid[], user_ids text[]) returns integer
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  gone record;
  removed integer := 0;
begin
  for gone in
    with deleted as (
      delete from callboard.notification_recipients r
      using unnest(ids, user_ids) as copy (id, user_id)
      where r.notification_id = copy.id and r.user_id = copy.user_id
      returning r.notification_id as id, r.user_id, r.revision + 1 as revision, r.arrived_at is not null as shown
    )
    select d.id, d.revision, d.shown, count(*) as copies,
           array_agg('user:' || d.user_id order by d.user_id collate "C") as rooms
    from deleted d
    group by d.id, d.revision, d.shown
    order by d.id
  loop
    removed := removed + gone.copies;
    if gone.shown then
      perform callboard.enqueue_text(gone.rooms, 'notification:deleted',
        json_build_object('id', gone.id, 'revision', gone.revision)::text, '/feed');
    end if;
  end loop;
  return removed;
end
$$;

create function callboard.remove_expired(moment timestamptz, most integer) returns integer
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  ids uuid[];
  user_ids text[];
begin
  select array_agg(r.notification_id), array_agg(r.user_id) into ids, user_ids
  from (
    select notification_id, user_id from callboard.notification_recipients
    where expires_at <= moment
    order by expires_at
    limit most
    for update skip locked
  ) r;
  return case when ids is null then 0 else callboard.remove_copies(ids, user_ids) end;
end
$$;
comment on function callboard.remove_expired(timestamptz, integer) is 'Private. Removes copies that have expired.';

-- A copy is as old as its arrival, so a group that still grows stays. What is held stays too.
create function callboard.remove_old_copies(before timestamptz, most integer) returns integer
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  ids uuid[];
  user_ids text[];
begin
  select array_agg(r.notification_id), array_agg(r.user_id) into ids, user_ids
  from (
    select notification_id, user_id from callboard.notification_recipients
    where notification_id < callboard.uuid_floor(before)
      and (arrived_at is null or arrived_at < before) and held_until is null
    order by notification_id
    limit most
    for update skip locked
  ) r;
  return case when ids is null then 0 else callboard.remove_copies(ids, user_ids) end;
end
$$;
comment on function callboard.remove_old_copies(timestamptz, integer) is
  'Private. Removes copies that are past their retention.';

create function callboard.remove_old_contents(before timestamptz, most integer) returns integer
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  removed integer;
begin
  delete from callboard.notifications
  where id in (
    select n.id from callboard.notifications n
    where n.id < callboard.uuid_floor(before)
      and not exists (select from callboard.notification_recipients r where r.notification_id = n.id)
      and not exists (select from callboard.notification_recipients r where r.group_latest = n.id)
    order by n.id
    limit most
  );
  get diagnostics removed = row_count;
  return removed;
end
$$;
comment on function callboard.remove_old_contents(timestamptz, integer) is
  'Private. Removes contents of which nobody has a copy any more.';

-- Contents that a group shows: few, and looked for by upkeep alone.
create index notification_recipients_latest
  on callboard.notification_recipients (group_latest) where group_latest is not null;

create function callboard.remove_spent(moment timestamptz, most integer) returns integer
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  keys integer;
  rates integer;
begin
  delete from callboard.idempotency_keys
  where ctid = any (array(
    select ctid from callboard.idempotency_keys
    where created_at < moment - interval '24 hours'
    limit most
    for update skip locked));
  get diagnostics keys = row_count;
  delete from callboard.notification_rates
  where ctid = any (array(
    select ctid from callboard.notification_rates
    where hour < moment - interval '24 hours'
    limit most
    for update skip locked));
  get diagnostics rates = row_count;
  return keys + rates;
end
$$;
comment on function callboard.remove_spent(timestamptz, integer) is
  'Private. Removes idempotency keys and hourly counts that nobody will ask for again.';
