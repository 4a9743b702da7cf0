// Traces a child as User-mode Linux does: the child fills its AVX registers, and this
// program replaces their content, but sets no more of the vector state than that. It
// prints how many bytes there are, and fails if they cannot be set, or if the child
// finds others.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/ptrace.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

long ptrace(int request, long pid, unsigned long address, void *data);

enum {
	registers = 16,
	lower = 160,   // of XSAVE's format: 16 bytes of each register
	upper = 576,   // and the other 16
	end_avx = 832, // no more is set
};

static unsigned char state[1 << 16], before[registers][32], after[registers][32];

static int child(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, NULL);
#define EACH(of) of(0) of(1) of(2) of(3) of(4) of(5) of(6) of(7) of(8) of(9) of(10) of(11) of(12) of(13) of(14) of(15)
#define LOAD(n) "vmovdqu " #n "*32(%0), %%ymm" #n "\n"
#define STORE(n) "vmovdqu %%ymm" #n ", " #n "*32(%1)\n"
	__asm__ volatile(EACH(LOAD) "int3\n" EACH(STORE) : : "r"(before), "r"(after) : "memory");
	for (int r = 0; r < registers; r++)
		for (int i = 0; i < 32; i++)
			if (after[r][i] != (unsigned char)~before[r][i])
				return fprintf(stderr, "ymm%d byte %d: %02x, want %02x\n", r, i, after[r][i], (unsigned char)~before[r][i]), 1;
	return 0;
}

int main(void)
{
	struct iovec all = { state, sizeof state }, avx = { state, end_avx };
	int status, r, i;
	pid_t pid;

	for (r = 0; r < registers; r++)
		for (i = 0; i < 32; i++)
			before[r][i] = r * 37 + i + 1;
	if ((pid = fork()) == 0)
		_exit(child());
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return fprintf(stderr, "the child does not stop\n"), 1;
	if (ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all) < 0)
		return perror("PTRACE_GETREGSET"), 1;
	printf("%zu", all.iov_len);
	for (r = 0; r < registers; r++) {
		if (memcmp(state + lower + 16 * r, before[r], 16) || memcmp(state + upper + 16 * r, before[r] + 16, 16))
			return fprintf(stderr, "ymm%d is not what the child has loaded\n", r), 1;
		for (i = 0; i < 16; i++) {
			state[lower + 16 * r + i] ^= 0xff;
			state[upper + 16 * r + i] ^= 0xff;
		}
	}
	if (ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &avx) < 0)
		return perror("PTRACE_SETREGSET"), 1;
	if (avx.iov_base != state || avx.iov_len != end_avx)
		return fprintf(stderr, "%zu bytes were set\n", avx.iov_len), 1;
	ptrace(PTRACE_CONT, pid, 0, NULL);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return fprintf(stderr, "the child does not end: %x\n", status), 1;
	return WEXITSTATUS(status);
}
