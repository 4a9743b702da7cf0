//go:build peer

package peer

// Of the shim between User-mode Linux and ptrace(2).
var (
	Xstate         = xstate
	Compile        = compile
	CompilePreload = compilePreload
)
