# What is to be read of the output of `go test -v`, if nothing else is: the last lines of each test that failed; of a
# package that failed by itself those of the compiler, or from its panic on; and at the end the names of all.
# LINES is how many of each at most, and ALL how many in all. A line "== STEP" says whose output follows.

BEGIN { if (!LINES) LINES = 40; if (!ALL) ALL = 240 }

# keep appends a line to what is known of a test or package, of which it forgets the first.
function keep(what, line) {
	text[what, n[what]++ % LINES] = line
}

# fail has what is known of it told at the end.
function fail(what, name,   i, from) {
	failed[++failures] = name
	from = n[what] > LINES ? n[what] - LINES : 0
	for (i = from; i < n[what]; i++) said[failures, i - from] = text[what, i % LINES]
	lines[failures] = n[what] - from
	if (lines[failures]) told++
	delete n[what]
}

function name(line) {
	sub(/^ *--- [A-Z]+: /, "", line)
	sub(/ \([0-9.]+s\)$/, "", line)
	return line
}

/^== / { step = ", " substr($0, 4); next }
/^=== RUN / { delete n[$3] } # of another run
/^=== (RUN|CONT|NAME|PAUSE) / { test = $3; next }
/^ *--- (PASS|SKIP): / { delete n[name($0)]; next }
/^ *--- FAIL: / { fail(name($0), name($0)); next }

# The compiler's words come before those of all packages.
/^# / { compiled = "of " $2; next }
compiled != "" && /^([^ ]+:[0-9]+|\t|too many errors)/ { keep(compiled, $0); next }
{ compiled = "" }

/^(ok|FAIL)\t/ || /^ok / {
	if ($1 == "FAIL" && (failures == before || broken))
		fail(/\[(build|setup) failed\]$/ ? "of " $2 : "package", "")
	where(" of " $2)
	delete n["package"]
	test = ""; broken = 0
	next
}

# where adds to the names of the last failures what they are of.
function where(words) {
	while (before < failures) {
		before++
		failed[before] = failed[before] words step
		sub(/^ /, "", failed[before])
	}
}

# Behind the head of a panic come the stacks of all goroutines.
!broken && /^(panic|fatal error): / { broken = 1; delete n["package"] }
!broken || n["package"] < LINES { keep("package", $0) }
test != "" { keep(test, $0) }

END {
	where("")
	if (!failures) exit
	most = LINES
	if (told * most > ALL) most = int(ALL / told)
	if (most < 4) most = 4
	for (f = 1; f <= failures; f++) {
		if (!lines[f]) continue # one below it has said why
		printf "\n== failed: %s\n", failed[f]
		from = lines[f] > most && said[f, 0] !~ /^(panic|fatal error): / ? lines[f] - most : 0
		for (i = from; i < lines[f] && i < from + most; i++) print substr(said[f, i], 1, 400)
	}
	print ""
	for (f = 1; f <= failures; f++) print "failed: " failed[f]
}
