-- Where leases lie that were killed and live, page by page: to show the progress of a kill. An entry for each of them
-- would be a sixth of what it takes to kill.
drop index lease_killed;
create index lease_killed on lease using brin (target) with (autosummarize = on)
  where end_reason = 'killed' and state <> 'ended';
