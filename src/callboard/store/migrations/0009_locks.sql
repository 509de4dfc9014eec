-- Who creates notifications waits for others that decide for the same people: as long as a host's transaction lasts.
-- Creates of ours give up such a lock soon, hold nothing meanwhile, and come again: nobody waits who need not.
alter function callboard.create_each(
  text[], text[], text[], text[], jsonb[], text[], text[], text[], text[], text[], integer[])
  set lock_timeout = '50ms';

alter function callboard.create_once(
  text, text, bytea, text[], text, text, text, text, text, jsonb, text, text, text, text, text, integer, boolean, text)
  set lock_timeout = '50ms';

-- create_notification, or for a resource that is followed create_for_followers.
create function callboard.create_soon(
  user_ids text[], followed_type text, followed_id text, type text, title text, message text, data jsonb,
  priority text, actor text, resource_type text, resource_id text, group_key text, expires_in integer,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile
set lock_timeout = '50ms'
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
comment on function callboard.create_soon(
  text[], text, text, text, text, text, jsonb, text, text, text, text, text, integer, boolean) is
  'Private. Content, recipients and message, or lock_not_available; NOTIFY is left to the caller.';
