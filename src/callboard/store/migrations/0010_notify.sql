-- All that a notification may have, for SQL callers too; and one place that chooses between people and followers.

create function callboard.create_for(
  user_ids text[], followed_type text, followed_id text, type text, title text, message text, data jsonb,
  priority text, actor text, resource_type text, resource_id text, group_key text, expires_in integer,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile
as $$
begin
  if followed_type is not null then
    return callboard.create_for_followers(followed_type, followed_id, type, title, message, data, priority, actor,
      resource_type, resource_id, group_key, expires_in);
  end if;
  return callboard.create_notification(user_ids, type, title, message, data, priority, actor, resource_type,
    resource_id, group_key, expires_in, refuse_over_limit);
end
$$;
comment on function callboard.create_for(
  text[], text, text, text, text, text, jsonb, text, text, text, text, text, integer, boolean) is
  'Private. For people, or for everybody who follows a resource; NOTIFY is left to the caller.';

create or replace function callboard.create_soon(
  user_ids text[], followed_type text, followed_id text, type text, title text, message text, data jsonb,
  priority text, actor text, resource_type text, resource_id text, group_key text, expires_in integer,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile
set lock_timeout = '50ms'
as $$
begin
  return callboard.create_for(user_ids, followed_type, followed_id, type, title, message, data, priority, actor,
    resource_type, resource_id, group_key, expires_in, refuse_over_limit);
end
$$;

create or replace function callboard.create_within(
  user_ids text[], followed_type text, followed_id text, type text, title text, message text, data jsonb,
  priority text, actor text, resource_type text, resource_id text, group_key text, expires_in integer,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_notify('callboard_outbox', '');
  return callboard.create_for(user_ids, followed_type, followed_id, type, title, message, data, priority, actor,
    resource_type, resource_id, group_key, expires_in, refuse_over_limit);
end
$$;

create or replace function callboard.create_once(
  caller text, key text, fingerprint bytea, user_ids text[], followed_type text, followed_id text, type text,
  title text, message text, data jsonb, priority text, actor text, resource_type text, resource_id text,
  group_key text, expires_in integer, refuse_over_limit boolean, endpoint text default null
) returns callboard.created_once
language plpgsql volatile
set lock_timeout = '50ms'
as $$
#variable_conflict use_variable
declare
  made callboard.created_notification;
  answer jsonb := callboard.claim_key(caller, key, fingerprint, endpoint);
begin
  if answer is not null then
    made := jsonb_populate_record(made, answer);
    return row(made.*, true)::callboard.created_once;
  end if;
  made := callboard.create_for(user_ids, followed_type, followed_id, type, title, message, data, priority, actor,
    resource_type, resource_id, group_key, expires_in, refuse_over_limit);
  if made.id is null then
    delete from callboard.idempotency_keys k where k.caller = caller and k.key = key;
  else
    update callboard.idempotency_keys k set answer = to_jsonb(made) where k.caller = caller and k.key = key;
  end if;
  return row(made.*, false)::callboard.created_once;
end
$$;

-- A function that gets parameters is another one for PostgreSQL: who may call it is remembered meanwhile.
select set_config('callboard.notify_rights', coalesce(proacl::text, ''), true)
from pg_proc
where oid = 'callboard.notify(text[], text, text, text, jsonb)'::regprocedure;

drop function callboard.notify(text[], text, text, text, jsonb);

create function callboard.notify(
  user_ids text[], type text, title text, message text, data jsonb default '{}', priority text default 'normal',
  actor text default null, resource_type text default null, resource_id text default null,
  group_key text default null, expires_in integer default null, subscribers_of_type text default null,
  subscribers_of_id text default null
) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  made callboard.created_notification;
begin
  if (subscribers_of_type is null) <> (subscribers_of_id is null) then
    perform callboard.refuse('subscribers_of_type', 'give subscribers_of_type and subscribers_of_id, or neither');
  end if;
  if subscribers_of_type is not null and user_ids is not null then
    perform callboard.refuse('user_ids', 'user_ids must be null where subscribers_of_type says who is notified');
  end if;
  made := callboard.create_within(user_ids, subscribers_of_type, subscribers_of_id, type, title, message, data,
    priority, actor, resource_type, resource_id, group_key, expires_in, false);
  return made.id;
end
$$;
comment on function callboard.notify(
  text[], text, text, text, jsonb, text, text, text, text, text, integer, text, text) is
  'Notify people when, and only when, the calling transaction commits. Returns the notification''s id.';

do $$
declare
  rights aclitem[] := nullif(current_setting('callboard.notify_rights'), '')::aclitem[];
  grantee text;
begin
  if rights is null then
    return;  -- everybody's, as PostgreSQL has it
  end if;
  revoke execute on function callboard.notify from public;
  for grantee in
    select case when r.grantee = 0 then 'public' else r.grantee::regrole::text end from aclexplode(rights) r
  loop
    execute 'grant execute on function callboard.notify to ' || grantee;
  end loop;
end
$$;
