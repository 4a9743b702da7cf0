// Preloaded, it makes any processor one with AMX, as far as ptrace(2) shows it: its
// vector state is 11,008 bytes, of which all are to be set or none.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <linux/ptrace.h>
#include <sys/uio.h>

enum { with_amx = 11008 };

typedef long call(int, long, unsigned long, void *);

long ptrace(int request, long pid, unsigned long address, void *data)
{
	static call *next;
	struct iovec *v = data;
	size_t room;

	if (!next)
		next = (call *)dlsym(RTLD_NEXT, "ptrace");
	if ((request != PTRACE_SETREGSET && request != PTRACE_GETREGSET) || address != NT_X86_XSTATE)
		return next(request, pid, address, data);
	room = v->iov_len < with_amx ? v->iov_len : with_amx;
	if (request == PTRACE_SETREGSET && room < with_amx)
		return errno = EFAULT, -1;
	if (next(request, pid, address, data) < 0)
		return -1;
	if (request == PTRACE_GETREGSET && v->iov_len < room) {
		memset((char *)v->iov_base + v->iov_len, 0, room - v->iov_len);
		v->iov_len = room;
	}
	return 0;
}
