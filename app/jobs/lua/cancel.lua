-- ARGV: states that may be cancelled.
if not is_one_of(get('state'), ARGV[1]) then return 0 end
close('cancelled', '', '', '')
return 1
