-- Open tasks in which somebody acts for another, by who acts: a kill of him ends these too.
create index task_unmarked_actors on task using gin ((principal -> 'actors') jsonb_path_ops)
  where end_reason is null and principal ? 'actors';
