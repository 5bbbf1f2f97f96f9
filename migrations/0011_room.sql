-- Room on each page for the rows that will change: a lease does twice at least, a task once. What is changed beside
-- itself costs less to write, most of all when a kill makes thousands due at once.
alter table lease set (fillfactor = 50);
alter table task set (fillfactor = 70);

-- Events of an issuer, and of a subject of any issuer, in the order of the log.
create index audit_event_issuer on audit_event (issuer, seq) where issuer is not null;
drop index audit_event_subject;
create index audit_event_subject on audit_event (subject, seq) where subject is not null;
