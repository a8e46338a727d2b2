// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_demo.c - "augur demo": two proxies and an agent on loopback, one mount, read twice.
 *
 * Runs from the build tree (augurd beside this program) or from an installation.  The one
 * verb that reads through a mount, its own.  Everything it makes lies in one new directory
 * and is taken away at the end, unless --keep is given.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include "demo.h"

#define ORIGIN_DEF "/usr/share/doc"

struct demo {
	struct augur	*a;
	char		bin[PATH_MAX];		/* of this program */
	char		augurd[PATH_MAX + 16], helper[PATH_MAX + 32];
	char		work[64], mnt[96], cache[96], ctl[96];
	char		origin[PATH_MAX];
	unsigned int	port[2];
	struct demo_proc proxy[2], agent;
	bool		mounted, keep;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

static bool find_program(const char *dir, const char *name, const char *const *other, char *out, size_t cap)
{
	snprintf(out, cap, "%s/%s", dir, name);
	while (access(out, X_OK) && *other)
		snprintf(out, cap, "%s/%s", *other++, name);
	return access(out, X_OK) == 0;
}

static int find_programs(struct demo *d)
{
	static const char *const sbin[] = { "/usr/sbin", "/usr/local/sbin", "/sbin", NULL };
	ssize_t n = readlink("/proc/self/exe", d->bin, sizeof(d->bin) - 1);

	d->bin[n > 0 ? n : 0] = '\0';
	dirname(d->bin);
	if (find_program(d->bin, "augurd", sbin, d->augurd, sizeof(d->augurd)) &&
	    find_program(d->bin, "mount.augurfs", sbin, d->helper, sizeof(d->helper)))
		return 0;
	fault_set(&d->a->fault, AUGUR_E_INTERNAL, ENOENT, "augurd and mount.augurfs are neither beside this program nor installed");
	snprintf(d->a->fault.hint, sizeof(d->a->fault.hint), "make all, then build/augur demo");
	return -ENOENT;
}

/* Loads the module if it can: from the system, or from the build tree this program lies in. */
static int load_module(struct demo *d)
{
	char *probe[] = { (char *)"/sbin/modprobe", (char *)"-q", (char *)"augurfs", NULL };
	char ko[PATH_MAX + 128];
	char *insert[] = { (char *)"/sbin/insmod", ko, NULL };
	struct utsname un;

	if (module_is_loaded())
		return 0;
	uname(&un);
	snprintf(ko, sizeof(ko), "%s/%s/kmod/augurfs.ko", d->bin, un.release);
	if (demo_run(probe) && !access(ko, R_OK))
		demo_run(insert);
	if (module_is_loaded())
		return 0;
	fault_set(&d->a->fault, AUGUR_E_MODULE, ENODEV, "there is no augurfs module for this kernel (%s)", un.release);
	snprintf(d->a->fault.hint, sizeof(d->a->fault.hint),
		 "'make demo' in the source tree boots a kernel of its own; or: make module KVER=%s", un.release);
	return -ENODEV;
}

static unsigned int free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sin);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || getsockname(fd, (struct sockaddr *)&sin, &len))
		return 0;
	return ntohs(sin.sin_port);
}

static int prepare(struct demo *d)
{
	unsigned int i;

	strcpy(d->work, "/var/tmp/augur-demo.XXXXXX");
	if (!mkdtemp(d->work))
		return -errno;
	snprintf(d->mnt, sizeof(d->mnt), "%s/mnt", d->work);
	snprintf(d->cache, sizeof(d->cache), "%s/cache", d->work);
	snprintf(d->ctl, sizeof(d->ctl), "%s/agent.sock", d->work);
	if (mkdir(d->mnt, 0755) || mkdir(d->cache, 0700))
		return -errno;
	for (i = 0; i < 2; i++) {
		d->port[i] = free_port();
		if (!d->port[i])
			return -EADDRNOTAVAIL;
	}
	return 0;
}

static int start_proxy(struct demo *d, unsigned int i)
{
	CLEANUP_FREE char *id = xasprintf("p%u", i + 1), *listen = xasprintf("127.0.0.1:%u", d->port[i]);
	CLEANUP_FREE char *export = xasprintf("demo=%s", d->origin), *store = xasprintf("sqlite:%s/store.db", d->work);
	CLEANUP_FREE char *join = xasprintf("127.0.0.1:%u", d->port[0]);
	CLEANUP_FREE char *members = xasprintf("p1=127.0.0.1:%u,p2=127.0.0.1:%u", d->port[0], d->port[1]);
	CLEANUP_FREE char *ctl = xasprintf("%s/%s.sock", d->work, id), *log = xasprintf("%s/%s.log", d->work, id);
	char *argv[24] = { d->augurd, "--role", "proxy", "--insecure", "--id", id, "--listen", listen,
			   "--export", export, "--ctl", ctl };
	size_t n = 12;

	if (i == 0) {
		argv[n++] = "--store", argv[n++] = store;
		argv[n++] = "--proxies", argv[n++] = members;
	} else {
		argv[n++] = "--join", argv[n++] = join;
	}
	return demo_start(&d->proxy[i], log, argv, "--ready-fd");
}

static int start_agent(struct demo *d)
{
	CLEANUP_FREE char *log = xasprintf("%s/agent.log", d->work);
	char *argv[16] = { d->augurd, "--role", "agent", "--insecure", "--ctl", d->ctl };

	return demo_start(&d->agent, log, argv, "--ready-fd");
}

static int do_mount(struct demo *d)
{
	CLEANUP_FREE char *source = xasprintf("127.0.0.1:%u,127.0.0.1:%u:/demo", d->port[0], d->port[1]);
	CLEANUP_FREE char *opts = xasprintf("cache=%s,ctl=%s", d->cache, d->ctl);
	char *argv[] = { d->helper, source, d->mnt, "-o", opts, NULL };
	int ret = demo_run(argv);

	d->mounted = ret == 0;
	return ret ? -EIO : 0;
}

static int bring_up(struct demo *d)
{
	const char *what = "the working directory";
	int err = prepare(d);

	if (!err)
		what = "proxy p1", err = start_proxy(d, 0);
	if (!err)
		what = "proxy p2", err = start_proxy(d, 1);
	if (!err)
		what = "the agent", err = start_agent(d);
	if (!err)
		what = "the mount", err = do_mount(d);
	if (!err)
		return 0;
	fault_set(&d->a->fault, AUGUR_E_INTERNAL, -err, "%s: %s", what,
		  err == -ECHILD ? "the daemon ended at its start" : strerror(-err));
	snprintf(d->a->fault.hint, sizeof(d->a->fault.hint), "see the logs in %s", d->work);
	d->keep = true;
	return err;
}

static unsigned long long read_files, read_bytes, read_errors;

static int read_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	static char buf[1 << 17];
	CLEANUP_CLOSE int fd = -1;
	ssize_t n;

	if (interrupted)
		return 1;
	if (type == FTW_DNR || type == FTW_NS)
		read_errors++;
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd < 0 ? -1 : 1;
	while (n > 0 && !interrupted) {
		n = read(fd, buf, sizeof(buf));
		read_bytes += n > 0 ? (unsigned long long)n : 0;
	}
	read_files++;
	read_errors += n < 0;
	return 0;
}

struct pass { double seconds; unsigned long long files, bytes, errors; long long upcalls; };

static struct pass read_tree(const char *dir, unsigned long long id)
{
	long long before = sysfs_get_int(id, "stats/upcalls", 0);
	struct timespec t0, t1;
	struct pass p;

	read_files = read_bytes = read_errors = 0;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	nftw(dir, read_one, 32, FTW_PHYS);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	p = (struct pass){ .files = read_files, .bytes = read_bytes, .errors = read_errors };
	p.seconds = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
	p.upcalls = sysfs_get_int(id, "stats/upcalls", 0) - before;
	return p;
}

static json_t *pass_json(const struct pass *p)
{
	return json_pack("{s:f,s:I,s:I,s:I,s:I}", "seconds", p->seconds, "files", (json_int_t)p->files,
			 "bytes", (json_int_t)p->bytes, "errors", (json_int_t)p->errors,
			 "upcalls", (json_int_t)p->upcalls);
}

static void print_pass(const char *name, const struct pass *p)
{
	printf(" %-6s  %8.2f s  %7llu files  %10s  %7lld upcalls  %llu errors\n", name, p->seconds, p->files,
	       human_bytes(p->bytes), p->upcalls, p->errors);
}

static int show(struct demo *d)
{
	struct mount *m = xcalloc(MOUNTS_MAX, sizeof(*m));
	size_t n = mounts_read(m);
	const struct mount *hit = mount_find(m, n, d->mnt);
	unsigned long long id = hit ? hit->id : 0;
	struct pass cold = read_tree(d->mnt, id), warm = read_tree(d->mnt, id);
	int rc = interrupted || cold.errors || warm.errors || !cold.files ? RC_FAILED : RC_OK;

	free(m);
	if (!cold.files && !interrupted) {
		fault_set(&d->a->fault, AUGUR_E_USAGE, ENODATA, "there is no file in %s to be read", printable(d->origin));
		return fault_report(d->a, RC_FAILED);
	}
	if (d->a->json) {
		json_t *obj = json_begin(d->a, rc == RC_OK);

		json_object_set_new(obj, "origin", json_string(printable(d->origin)));
		json_object_set_new(obj, "cold", pass_json(&cold));
		json_object_set_new(obj, "warm", pass_json(&warm));
		json_line(obj);
		return rc;
	}
	printf("%s, from two proxies on loopback:\n", printable(d->origin));
	print_pass("first", &cold);
	print_pass("second", &warm);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) && errno != ENOENT ? -1 : 0;
}

static void tear_down(struct demo *d)
{
	if (d->mounted && umount2(d->mnt, 0) && umount2(d->mnt, MNT_DETACH))
		d->keep = true;		/* never walk into a live mount while removing */
	demo_end(&d->agent);
	demo_end(&d->proxy[1]);
	demo_end(&d->proxy[0]);
	if (d->work[0] && !d->keep)
		nftw(d->work, remove_one, 32, FTW_PHYS | FTW_DEPTH | FTW_MOUNT);
}

static void wait_for_interrupt(struct demo *d)
{
	const struct timespec nap = { 0, 200 * 1000000L };

	if (!d->a->json)
		printf("mounted on %s; augur --ctl %s status; Ctrl-C ends it\n", d->mnt, d->ctl);
	fflush(stdout);
	while (!interrupted)
		nanosleep(&nap, NULL);
	d->keep = false;
}

static int demo(struct demo *d)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int rc;

	if (geteuid()) {
		fault_set(&d->a->fault, AUGUR_E_PERMISSION, EPERM, "the demo mounts, so it needs root");
		return fault_report(d->a, RC_FAILED);
	}
	if (load_module(d))
		return fault_report(d->a, RC_NA);
	if (find_programs(d))
		return fault_report(d->a, RC_FAILED);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	rc = bring_up(d) ? fault_report(d->a, RC_FAILED) : show(d);
	if (d->keep && d->mounted && !interrupted)
		wait_for_interrupt(d);
	tear_down(d);
	return rc;
}

int cmd_demo(struct augur *a, int argc, char **argv)
{
	static const struct option opts[] = { { "keep", no_argument, NULL, 'k' }, { 0 } };
	struct demo *d = xcalloc(1, sizeof(*d));
	int c, rc;

	d->a = a;
	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (c != 'k') {
			free(d);
			return usage_error(a, "unknown option");
		}
		d->keep = true;
	}
	if (argc - optind > 1 || !realpath(optind < argc ? argv[optind] : ORIGIN_DEF, d->origin)) {
		free(d);
		return usage_error(a, argc - optind > 1 ? "one directory at most" : "that directory does not exist");
	}
	rc = demo(d);
	free(d);
	return rc;
}
