-- Revocation: the moment since when a user's tokens count.

create table callboard.revocations (
  user_id    text primary key,
  not_before timestamptz not null
);

-- Every node follows the log, so every node hears of it: at once, and after an outage. Clients cannot join the
-- namespace it goes to. Runs as its owner, like publish.
create function callboard.revoke(user_id text) returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  moment timestamptz := clock_timestamp();
begin
  if coalesce(length(user_id), 0) not between 1 and 255 then
    raise exception 'user_id must have 1 to 255 characters' using errcode = 'CB422', column = 'user_id';
  end if;
  insert into callboard.revocations as known (user_id, not_before) values (user_id, moment)
  on conflict on constraint revocations_pkey
    do update set not_before = greatest(known.not_before, excluded.not_before);
  perform callboard.enqueue(
    array['user:' || user_id],
    'user:revoked',
    jsonb_build_object('user_id', user_id, 'not_before', extract(epoch from moment)),
    '/control');
  perform pg_notify('callboard_outbox', '');
  return moment;
end
$$;
comment on function callboard.revoke(text) is
  'Refuse the tokens that the user was issued before now, and close the user''s connections, once the caller commits.';
