//go:build ignore

// Preloaded into User-mode Linux, between it and ptrace(2). Linux 6.1 there keeps 2,696
// bytes of a process's vector state (HOST_FP_SIZE), and sets as many. The host's kernel
// takes all that the processor has or nothing (EFAULT): with AMX, 11,008 bytes. What is
// missing is filled up with zeroes: state that the header, which stays as it is, calls
// initial.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <string.h>
#include <linux/ptrace.h>
#include <sys/uio.h>

typedef long call(int, long, unsigned long, void *);

// UML is one thread where it traces, and has little stack.
static char all[1 << 16];
static size_t size; // of what the processor has

long ptrace(int request, long pid, unsigned long address, void *data)
{
	static call *next;
	struct iovec *given = data, whole = { all, sizeof all };

	if (!next)
		next = (call *)dlsym(RTLD_NEXT, "ptrace");
	if (request != PTRACE_SETREGSET || address != NT_X86_XSTATE)
		return next(request, pid, address, data);
	if (!size && next(PTRACE_GETREGSET, pid, address, &whole) == 0)
		size = whole.iov_len;
	if (given->iov_len >= size)
		return next(request, pid, address, data);
	memset(all, 0, size);
	memcpy(all, given->iov_base, given->iov_len);
	whole.iov_len = size;
	return next(request, pid, address, &whole);
}
