// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The bytes of an export's files: they are the file's, of one state, whoever writes meanwhile and whoever is held up.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "origin_test.h"

static void bytes_are_the_file(void **state)
{
	size_t len = 3 * 1024 * 1024 + 77;
	u8 *data = xmalloc(len);
	struct obj o, many[20];
	struct ask *a;
	char name[32];
	FILE *f;

	for (size_t i = 0; i < len; i++)
		data[i] = i * 2654435761U >> 13;
	f = fopen(at("big"), "w");
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "s%02d", i);
		write_file(name, i ? name : "");
	}
	grow_old();
	o = find(&root, "big");
	a = read_obj(&o, 0, len);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->data_len, len);
	assert_memory_equal(a->data, data, len);
	assert_int_equal(a->tag, o.a.tag);
	assert_int_equal(a->size, len);
	ask_free(a);
	a = read_obj(&o, 100001, 5);
	assert_int_equal(a->data_len, 5);
	assert_memory_equal(a->data, data + 100001, 5);
	ask_free(a);
	a = read_obj(&o, len - 3, 1 << 20);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->data_len, 3);
	ask_free(a);
	a = read_obj(&o, len + 10, 10);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->data_len, 0);
	ask_free(a);
	a = read_obj(&o, 1ULL << 63, 10);
	assert_int_equal(a->status, -EOVERFLOW);
	ask_free(a);
	a = read_obj(&root, 0, 10);
	assert_int_equal(a->status, -EISDIR);
	ask_free(a);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "s%02d", i);
		many[i] = find(&root, name);
	}
	a = items(many, 20, WIRE_BATCH);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->done_frames, 20);
	assert_int_equal(a->data_len, 19 * 3);
	for (int i = 0; i < 20; i++)
		assert_int_equal(a->item_status[i], 0);
	ask_free(a);
	many[3] = o;
	many[3].a.size = 10;
	many[5].loc[20] ^= 1;
	many[7].a.tag++;
	a = items(many, 20, WIRE_BATCH);
	assert_int_equal(a->item_status[3], -EFBIG);
	assert_int_equal(a->item_status[5], -EACCES);
	assert_int_equal(a->item_status[7], -ESTALE);
	assert_int_equal(a->item_status[8], 0);
	ask_free(a);
	free(data);
}

static void states_are_not_mixed(void **state)
{
	struct obj o;
	struct ask *a;

	write_file("f", "first");
	grow_old();
	o = find(&root, "f");
	write_file("f", "other");	/* same size, and young */
	a = read_obj(&o, 0, 100);
	assert_int_equal(a->status, -ESTALE);
	assert_int_equal(a->data_len, 0);
	assert_int_not_equal(a->tag, o.a.tag);
	o.a.tag = a->tag;
	ask_free(a);
	write_file("f", "third");
	o = find(&root, "f");
	a = read_obj(&o, 0, 100);	/* waited out, then served */
	assert_int_equal(a->status, 0);
	assert_memory_equal(a->data, "third", 5);
	ask_free(a);
	o.a.tag = 0;			/* whatever is current */
	a = read_obj(&o, 0, 100);
	assert_int_equal(a->status, 0);
	ask_free(a);
	unlink(at("f"));
	a = read_obj(&o, 0, 100);
	assert_int_equal(a->status, -ESTALE);
	ask_free(a);
}

/* A clock whose reader is held up: before he goes on the file is changed again and has grown old. */
static u64 late_clock(struct io *io)
{
	FILE *f = fopen(at("f"), "r+");

	fputs("third", f);
	fclose(f);
	grow_old();
	return origin->io->ops->stamp_ns(origin->io);
}

static void a_late_look_is_not_old(void **state)
{
	struct io_ops ops = *origin->io->ops;
	struct io late = { .ops = &ops };
	struct origin_export ex = origin->ex;
	struct origin_loc loc = { .len = 0 };
	struct origin_stat st, now;
	int fd;

	write_file("f", "other");
	ops.stamp_ns = late_clock;
	ex.io = &late;
	fd = open(at("f"), O_RDONLY);
	assert_int_equal(origin_stat_fd(&ex, fd, &loc, &st), 0);
	assert_int_equal(origin_stat_fd(&origin->ex, fd, &loc, &now), 0);
	assert_true(st.young || st.tag == now.tag);
	close(fd);
}

static u64 stalled_ns;

static u64 stalled_clock(struct io *io)
{
	return stalled_ns;
}

/* Its tick lasts: what was changed long ago is as young as if it had been changed now. */
static void a_tick_that_lasts(void **state)
{
	struct io_ops ops = *origin->io->ops;
	struct io stalled = { .ops = &ops };
	struct origin_export ex = origin->ex;
	struct origin_loc loc = { .len = 0 };
	struct origin_stat st;
	int fd;

	write_file("f", "other");
	grow_old();
	fd = open(at("f"), O_RDONLY);
	ops.stamp_ns = stalled_clock;
	ex.io = &stalled;
	assert_int_equal(origin_stat_fd(&origin->ex, fd, &loc, &st), 0);
	assert_false(st.young);
	stalled_ns = (u64)st.stx.stx_ctime.tv_sec * 1000000000 + st.stx.stx_ctime.tv_nsec;
	assert_int_equal(origin_stat_fd(&ex, fd, &loc, &st), 0);
	assert_true(st.young);
	stalled_ns += 2 * ex.tick_ns;
	assert_int_equal(origin_stat_fd(&ex, fd, &loc, &st), 0);
	assert_false(st.young);
	close(fd);
}

/* A write whose bytes are in a page that is not there yet: the file is stamped, and waits for them. */
struct held_write {
	int	fd, uffd;
	char	*page;		/* what is written; missing */
	char	*bytes;		/* what will be in it */
};

static void *held_writer(void *arg)
{
	struct held_write *w = arg;

	assert_int_equal(pwrite(w->fd, w->page, 4096, 0), 4096);
	return NULL;
}

static void *give_bytes(void *arg)
{
	struct held_write *w = arg;
	struct uffdio_copy copy = { .dst = (uintptr_t)w->page, .src = (uintptr_t)w->bytes, .len = 4096 };

	grow_old();
	assert_int_equal(ioctl(w->uffd, UFFDIO_COPY, &copy), 0);
	return NULL;
}

static void hold_write(struct held_write *w, pthread_t *writer)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg;
	struct uffd_msg msg;

	w->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (w->uffd < 0) {
		print_message("[  SKIPPED  ] userfaultfd is not allowed here: %s\n", strerror(errno));
		skip();
	}
	assert_true(!ioctl(w->uffd, UFFDIO_API, &api));
	w->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg = (struct uffdio_register){ .range = { (uintptr_t)w->page, 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	assert_int_equal(ioctl(w->uffd, UFFDIO_REGISTER, &reg), 0);
	assert_int_equal(pthread_create(writer, NULL, held_writer, w), 0);
	assert_int_equal(read(w->uffd, &msg, sizeof(msg)), sizeof(msg));
}

static void bytes_of_a_held_write_are_awaited(void **state)
{
	char old[4097], new[4097];
	struct held_write w = { .bytes = new };
	pthread_t writer, giver;
	struct obj o;
	struct ask *a;

	for (int batch = 0; batch < 2; batch++) {
		memset(old, 'a', 4096);
		memset(new, 'b', 4096);
		old[4096] = 0;
		write_file("held", old);
		grow_old();
		w.fd = open(at("held"), O_WRONLY);
		hold_write(&w, &writer);
		grow_old();
		o = find(&root, "held");
		assert_int_equal(pthread_create(&giver, NULL, give_bytes, &w), 0);
		a = batch ? items(&o, 1, WIRE_BATCH) : read_obj(&o, 0, 4096);
		assert_int_equal(a->status, 0);
		assert_int_equal(a->data_len, 4096);
		assert_memory_equal(a->data, new, 4096);
		ask_free(a);
		pthread_join(giver, NULL);
		pthread_join(writer, NULL);
		close(w.uffd);
		close(w.fd);
		munmap(w.page, 4096);
	}
}

/* More readers of such a file than there are workers: who wants another file is served meanwhile. */
static void a_held_write_leaves_workers(void **state)
{
	struct held_write w = { .bytes = xmalloc(4096) };
	struct ask *many[8], *a;
	pthread_t writer, giver;
	struct obj o, other;
	char old[4097];

	memset(w.bytes, 'b', 4096);
	memset(old, 'a', 4096);
	old[4096] = 0;
	write_file("held", old);
	write_file("other", "bytes");
	grow_old();
	w.fd = open(at("held"), O_WRONLY);
	hold_write(&w, &writer);
	grow_old();
	o = find(&root, "held");
	other = find(&root, "other");
	for (int i = 0; i < 8; i++)
		many[i] = i & 1 ? items_begin(&o, 1, WIRE_BATCH) : read_begin(&o, 0, 4096);
	a = read_obj(&other, 0, 5);
	assert_int_equal(a->status, 0);
	assert_memory_equal(a->data, "bytes", 5);
	ask_free(a);
	a = items(&other, 1, WIRE_BATCH);
	assert_int_equal(a->item_status[0], 0);
	ask_free(a);
	assert_false(many[0]->done);
	assert_int_equal(pthread_create(&giver, NULL, give_bytes, &w), 0);
	for (int i = 0; i < 8; i++) {
		ask_wait(many[i]);
		assert_int_equal(many[i]->status, 0);
		if (!(i & 1))
			assert_memory_equal(many[i]->data, w.bytes, 4096);
		else if (!many[i]->item_status[0])
			assert_memory_equal(many[i]->data, w.bytes, 4096);
		else
			assert_int_equal(many[i]->item_status[0], -EAGAIN);
		ask_free(many[i]);
	}
	pthread_join(giver, NULL);
	pthread_join(writer, NULL);
	close(w.uffd);
	close(w.fd);
	munmap(w.page, 4096);
	free(w.bytes);
}

static int run_group(void)
{
	const struct CMUnitTest tests[] = {
		T(bytes_are_the_file),
		T(states_are_not_mixed),
		T(a_late_look_is_not_old),
		T(a_tick_that_lasts),
		T(bytes_of_a_held_write_are_awaited),
		T(a_held_write_leaves_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return origin_tests(run_group);
}
