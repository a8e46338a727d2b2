// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * faults.c - what goes wrong in a run, and when: drawn before the load starts.
 */
#include <stdio.h>

#include "sim.h"

#define FAULTS_MAX	16

enum fault_kind { F_RESET, F_CUT, F_CUT_ANSWER, F_REFUSE, F_PROXY, F_AGENT, F_KILL, F_CACHE_DISK, F_FILL, F_INODES, F_ORIGIN_DISK };

struct fault { struct event ev; enum fault_kind kind; };

static struct fault plan[FAULTS_MAX];
static unsigned int nplan;
static struct event squeeze_ev;
static u64 squeeze_until;
static bool squeeze_inodes;

static void break_disk(int node, bool cache)
{
	static const enum disk_fault kinds[] = { DISK_EIO, DISK_SHORT, DISK_SLOW, DISK_FULL };

	disks[node].fault = kinds[below(cache ? 4 : 3)];
	disks[node].permille = disks[node].fault == DISK_FULL ? 1000 : between(20, 400);
	disks[node].until = sim_now + between(50 * MSEC, 4 * SEC);
	disk_trouble(node, disks[node].until);
	note("disk of n%d: fault %d", node, disks[node].fault);
}

/* Whatever the agent makes room for, somebody else takes. */
static void squeeze(struct event *e)
{
	if (sim_now >= squeeze_until) {
		disk_release();
		kernel_hold(false);
		return;
	}
	if (squeeze_inodes)
		disk_squeeze_inodes(below(chance(700) ? 3 : 20));
	else
		disk_squeeze(below(chance(700) ? 128 << 10 : 2 << 20));
	event_at(&squeeze_ev, min(squeeze_until, sim_now + between(30 * MSEC, 800 * MSEC)), squeeze);
}

static void fill_disk(bool inodes)
{
	squeeze_inodes = inodes;
	squeeze_until = sim_now + between(200 * MSEC, 8 * SEC);
	disk_trouble(AGENT, squeeze_until);
	kernel_hold(chance(500));
	event_cancel(&squeeze_ev);
	squeeze(&squeeze_ev);
}

static void strike(struct event *e)
{
	struct fault *f = container_of(e, struct fault, ev);
	int proxy = between(1, PROXIES);

	note("fault %d", f->kind);
	switch (f->kind) {
	case F_RESET:
		for (u64 i = between(1, 4); i; i--)
			net_reset_one();
		break;
	case F_CUT:
		net_cut(chance(800) ? AGENT : (int)between(1, PROXIES), proxy, sim_now + between(50 * MSEC, 20 * SEC), chance(250));
		break;
	case F_CUT_ANSWER:
		net_cut_in_answer(AGENT, proxy, between(50 * MSEC, 20 * SEC));
		break;
	case F_REFUSE:
		net_refuse(proxy, sim_now + between(100 * MSEC, 5 * SEC));
		net_reset_one();
		break;
	case F_PROXY:
		proxy_bounce(proxy, between(MSEC, 6 * SEC));
		break;
	case F_AGENT:
	case F_KILL:
		agent_bounce(f->kind == F_KILL);
		break;
	case F_FILL:
	case F_INODES:
		disk_release();		/* of what another one holds */
		fill_disk(f->kind == F_INODES);
		break;
	case F_CACHE_DISK:
		break_disk(AGENT, true);
		break;
	default:
		break_disk(proxy, false);
	}
}

void faults_plan(u64 from, u64 to)
{
	static const enum fault_kind kinds[] = {
		F_RESET, F_RESET, F_RESET, F_CUT, F_CUT, F_CUT_ANSWER, F_REFUSE, F_PROXY, F_PROXY, F_AGENT, F_KILL, F_CACHE_DISK,
		F_CACHE_DISK, F_CACHE_DISK, F_FILL, F_FILL, F_INODES, F_INODES, F_ORIGIN_DISK, F_ORIGIN_DISK,
	};

	nplan = below(FAULTS_MAX + 1);
	for (unsigned int i = 0; i < nplan; i++) {
		plan[i].kind = kinds[below(ARRAY_SIZE(kinds))];
		event_at(&plan[i].ev, between(from, to), strike);
	}
}

bool faults_restart_agent(void)
{
	for (unsigned int i = 0; i < nplan; i++)
		if (plan[i].kind == F_AGENT || plan[i].kind == F_KILL)
			return true;
	return false;
}

void faults_end(void)
{
	for (unsigned int i = 0; i < nplan; i++)
		event_cancel(&plan[i].ev);
	event_cancel(&squeeze_ev);
	disk_release();
	kernel_hold(false);
	memset(disks, 0, sizeof(disks));
	net_heal();
}
