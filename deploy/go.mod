// The tests of deploy/ that need other projects' types, apart so that rollcall's own list of dependencies stays short.
module rollcall/deploy

go 1.26.0

require golang.org/x/tools v0.51.0

require (
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/sync v0.23.0 // indirect
)
