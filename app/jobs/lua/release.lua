-- ARGV: owner, attempt, running states.
if forgive(ARGV[1], ARGV[2]) then return 0 end
if not has_lease(ARGV[1], ARGV[2]) or not is_one_of(get('state'), ARGV[3]) then return 0 end
enqueue()
return 1
