// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * demo_proc.c - the processes of "augur demo": started with a readiness pipe, ended by pid.
 *
 * Children get SIGTERM when the demo dies, whatever kills it, so that no daemon is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include "demo.h"

#define END_WAIT_MS 5000

static void child_exec(char *const *argv, const char *log, int ready)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setpgid(0, 0);		/* an interrupt goes to the demo alone, which ends them in order */
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	if (fd >= 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
	}
	if (ready >= 0)
		fcntl(ready, F_SETFD, 0);
	execv(argv[0], argv);
	_exit(127);
}

static int wait_ready(int fd, pid_t pid)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char byte;
	int n = poll(&pfd, 1, DEMO_READY_MS);

	if (n == 1 && read(fd, &byte, 1) == 1)
		return 0;
	return n < 0 ? -errno : n ? -ECHILD : -ETIMEDOUT;
}

int demo_start(struct demo_proc *p, const char *log, char **argv, const char *ready_opt)
{
	int fds[2], err;
	char num[16];
	size_t n = 0;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	while (argv[n])
		n++;
	snprintf(num, sizeof(num), "%d", fds[1]);
	argv[n] = (char *)ready_opt;	/* the caller left room for two */
	argv[n + 1] = num;
	argv[n + 2] = NULL;
	p->pid = fork();
	if (!p->pid)
		child_exec(argv, log, fds[1]);
	close(fds[1]);
	err = p->pid < 0 ? -errno : wait_ready(fds[0], p->pid);
	close(fds[0]);
	return err;
}

/* Runs to the end with its output on ours: exit status or -errno. */
int demo_run(char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid) {
		execv(argv[0], argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

void demo_end(struct demo_proc *p)
{
	const struct timespec pause = { 0, 20 * 1000000L };
	int i;

	if (p->pid <= 0)
		return;
	kill(p->pid, SIGTERM);
	for (i = 0; i < END_WAIT_MS / 20; i++) {
		if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
			p->pid = 0;
			return;
		}
		nanosleep(&pause, NULL);
	}
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	p->pid = 0;
}
