-- ARGV: states that may be cancelled.
if not is_one_of(get('state'), ARGV[1]) then return 0 end
local was_queued = get('state') == 'queued'
charge_unfinished()
close('cancelled', '', '', '')
if was_queued then advance_owner() end
return 1
