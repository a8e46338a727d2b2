# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makefile: builds the module once per kernel, the daemon, the tools, and runs the checks. Everything that is made lies
# under build/; `make help` prints the targets. Nothing here needs the network except `make demo` and `make check`, which
# first let tools/dev/setup install what is missing.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
BUILD ?= build
KERNELS ?= $(shell tools/dev/kernels all)
KVER ?= $(KERNELS)
DESTDIR ?=
PREFIX ?= /usr
VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)

# ---------------------------------------------------------------- what userspace is made of
LIBS := liburing libnl-3.0 libnl-genl-3.0 sqlite3 openssl libxxhash jansson inih
CFLAGS ?= -O2 -g
OURFLAGS := -std=gnu11 -Wall -Wextra -Werror=implicit -Wno-unused-parameter -D_GNU_SOURCE \
	-DAUGUR_BUILD_VERSION='"$(VERSION)"' -Ikmod/uapi -Ikmod -Idaemon -I.
PKG_CFLAGS = $(shell pkg-config --cflags $(LIBS) 2> /dev/null)
PKG_LIBS = $(shell pkg-config --libs $(LIBS) 2> /dev/null) -lpthread -lm
ASAN := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

COMMON_SRC := $(wildcard kmod/common/*.c)
DAEMON_SRC := $(shell find daemon -name '*.c' -not -path 'daemon/torch/*' 2> /dev/null | LC_ALL=C sort)
DAEMON_LIB := $(filter-out daemon/main.c,$(DAEMON_SRC)) $(COMMON_SRC)
AUGUR_SRC := $(wildcard tools/augur/*.c) daemon/base/mem.c daemon/base/log.c daemon/base/db_conn.c \
	daemon/history/query.c daemon/history/segment.c daemon/history/offline.c kmod/common/record.c
MOUNT_SRC := $(wildcard tools/mount/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/asan/unit/%)
REPLAY := $(patsubst tests/fuzz/%.c,$(BUILD)/asan/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
objects = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(2))

.PHONY: help all module daemon tools check check-unit check-vm check-uml check-long demo bench style install dkms-install clean setup unit asan fuzz sim powercut

help: ## print these targets
	@echo "augurfs $(VERSION): make TARGET [KVER=version] [BUILD=folder]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s'|'
	@echo "kernels: $(KERNELS)"

all: module daemon tools ## the module for every kernel, the daemon and the tools

module: $(KVER:%=module-%) ## the module for KVER (default: 6.1 and 6.12 cloud), in build/<kernel>/kmod/augurfs.ko
daemon: $(BUILD)/augurd ## the daemon, build/augurd
tools: $(BUILD)/augur $(BUILD)/mount.augurfs ## build/augur and build/mount.augurfs

setup:
	@tools/dev/setup all

check: setup ## everything: unit tests under sanitizers and guest tests on both kernels
	@$(MAKE) --no-print-directory -j$(shell nproc) all unit
	@tests/run -k all

check-unit: ## the unit tests (ASan, UBSan); no root
	@$(MAKE) --no-print-directory -j$(shell nproc) unit
	@tests/run --unit

check-vm: all ## the guest tests on both kernels
	@tests/run -k all --vm

check-uml: daemon tools module-uml ## the guest tests in User-mode Linux with KASAN and lockdep, and failing allocations
	@tests/run -k uml --vm --guests $$(nproc)

check-long: ## what takes hours: check, check-uml, 10,000 seeds of the simulator, and the acceptance programs
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory check-uml
	@tests/sim/run --seeds 1-10000 && tests/sim/run --asan --seeds 10001-10500
	@for t in $$(tests/accept --list); do tests/accept $$t || exit; done

demo: ## boots a guest, mounts its /usr from two proxies 10 ms away, reads it twice, shows what happened
	@tests/demo/demo

bench: all ## benchmarks in deterministic time (tests/bench)
	@if [ -x tests/bench/run ]; then tests/bench/run; else echo "no benchmarks yet"; fi

style: ## checkpatch, sparse, layers and sizes
	@tools/dev/style.sh

install: all ## daemon, tools and the module of the running kernel into DESTDIR
	install -D -m 755 $(BUILD)/augurd $(DESTDIR)$(PREFIX)/sbin/augurd
	install -D -m 755 $(BUILD)/augur $(DESTDIR)$(PREFIX)/bin/augur
	install -D -m 755 $(BUILD)/mount.augurfs $(DESTDIR)/sbin/mount.augurfs
	install -D -m 644 tools/completion/augur.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/augur
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system tools/packaging/systemd/*.service
	install -D -m 644 tools/packaging/tmpfiles.d/augur.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/augur.conf
	@if command -v scdoc > /dev/null; then for f in Documentation/man/*.scd; do p=$$(basename $$f .scd); \
		d=$(DESTDIR)$(PREFIX)/share/man/man$${p##*.}; mkdir -p $$d && scdoc < $$f > $$d/$$p || exit; done; \
		else echo "scdoc is not installed: no manual pages"; fi
	@for k in $(KVER); do f=$(BUILD)/$$k/kmod/augurfs.ko; [ ! -f $$f ] || \
		install -v -D -m 644 $$f $(DESTDIR)/lib/modules/$$k/extra/augurfs.ko; done
	@if [ -z "$(DESTDIR)" ]; then depmod -a; fi

dkms-install: ## the module's source for dkms: built at each kernel's installation
	install -d $(DESTDIR)/usr/src/augurfs-$(VERSION)
	cp -r Kbuild dkms.conf COPYING kmod $(DESTDIR)/usr/src/augurfs-$(VERSION)/
	@if [ -z "$(DESTDIR)" ]; then dkms add augurfs/$(VERSION) && dkms install augurfs/$(VERSION); fi

clean: ## removes build/ (the guest's images stay in .cache/)
	rm -rf $(BUILD)

# ---------------------------------------------------------------- module: one folder of links per kernel
# VARIANT and DEFS build it differently beside the usual one: make module VARIANT=-leak DEFS=-DAUGUR_SEED_LEAK
# module-uml: for the User-mode Linux that tests/vm/mkuml builds.
module-uml: kbuild = $$(tests/vm/mkuml)/build ARCH=um
module-%: kbuild = /lib/modules/$*/build
module-%:
	@d=$(abspath $(BUILD))/$*$(VARIANT); mkdir -p $$d && exec 7> $$d/lock && flock 7 && find $$d -xtype l -delete && \
	cp -rs --remove-destination $(CURDIR)/Kbuild $(CURDIR)/kmod $$d/ && \
	$(MAKE) --no-print-directory -C $(kbuild) M=$$d KCFLAGS="$(DEFS)" modules 7>&-

# ---------------------------------------------------------------- objects: plain in build/obj, sanitized in build/asan
# Each object is made under another name and moved, so that two makes at once do no harm.
define compile
	@mkdir -p $(@D); echo "  CC   $<"
	@$(CC) $(OURFLAGS) $(1) $(DEFS) $(PKG_CFLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@.$$PPID $< && mv $@.$$PPID $@
endef
$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(call compile,$(CFLAGS))
$(BUILD)/asan/%.o: %.c $(BUILD)/flags
	$(call compile,$(ASAN))

# Rewritten only when flags or the list of sources are others: a change of either rebuilds what it must.
STATE = $(CC) $(OURFLAGS) $(CFLAGS) $(DEFS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D); cmp -s - $@ <<< '$(STATE)' || echo '$(STATE)' > $@
$(BUILD)/sources: FORCE
	@mkdir -p $(@D); cmp -s - $@ <<< '$(DAEMON_LIB)' || echo '$(DAEMON_LIB)' > $@
FORCE:

# An archive: a program takes only the objects it needs.
define archive
	@mkdir -p $(@D); rm -f $@; ar rcsD $@ $(filter %.o,$^)
endef
$(BUILD)/obj/libaugurd.a: $(call objects,obj,$(DAEMON_LIB)) $(BUILD)/sources
	$(archive)
$(BUILD)/asan/libaugurd.a: $(call objects,asan,$(DAEMON_LIB)) $(BUILD)/sources
	$(archive)

define link
	@mkdir -p $(@D); echo "  LD   $@"
	@$(CC) $(1) -o $@.$$PPID $(filter %.o,$^) $(filter %.a,$^) $(2) && mv $@.$$PPID $@
endef
$(BUILD)/augurd: $(BUILD)/obj/daemon/main.o $(BUILD)/obj/libaugurd.a
	$(call link,$(CFLAGS),$(PKG_LIBS))
$(BUILD)/augur: $(call objects,obj,$(AUGUR_SRC))
	$(call link,$(CFLAGS),$(PKG_LIBS))
$(BUILD)/mount.augurfs: $(call objects,obj,$(MOUNT_SRC))
	$(call link,$(CFLAGS))

$(BUILD)/log_bench: $(call objects,obj,tests/bench/log_bench.c) $(BUILD)/obj/libaugurd.a
	$(call link,$(CFLAGS),$(PKG_LIBS))

asan: $(BUILD)/asan/augurd ## the daemon under sanitizers, build/asan/augurd
$(BUILD)/asan/augurd: $(BUILD)/asan/daemon/main.o $(BUILD)/asan/libaugurd.a
	$(call link,$(ASAN),$(PKG_LIBS))

$(BUILD)/asan/augur: $(call objects,asan,$(AUGUR_SRC))
	$(call link,$(ASAN),$(PKG_LIBS))

unit: $(UNIT) $(REPLAY) $(BUILD)/asan/augur sim
$(BUILD)/asan/unit/%: $(BUILD)/asan/tests/unit/%.o $(BUILD)/asan/libaugurd.a
	$(call link,$(ASAN),$(PKG_LIBS) -lcmocka)

# The simulator: agent and proxies on a simulated I/O table, and the system calls of their jobs wrapped (tests/sim/fs.c).
# Without netlink, control sockets and the real tables; the seeded mistakes of base/seeded.h are in.
SIM_SRC := $(wildcard tests/sim/*.c)
SIM_LIB := $(filter-out daemon/upcall/% daemon/main.c daemon/role_agent.c,$(DAEMON_SRC)) $(COMMON_SRC)
SIM_WRAP := close name_to_handle_at open_by_handle_at statx fstatfs clock_getres getrandom time read pread pwrite fdatasync syncfs \
	ftruncate mkdirat symlinkat linkat fsetxattr setxattr lsetxattr utimensat futimens fgetxattr open openat
comma := ,
SIM_LD = $(SIM_WRAP:%=-Wl$(comma)--wrap=%)
sim: $(BUILD)/sim/sim $(BUILD)/sim-asan/sim ## the simulator, plain and under sanitizers
$(BUILD)/sim/obj/%.o: %.c $(BUILD)/flags
	$(call compile,$(CFLAGS) -DAUGUR_SEEDED)
$(BUILD)/sim-asan/obj/%.o: %.c $(BUILD)/flags
	$(call compile,$(ASAN) -DAUGUR_SEEDED)
$(BUILD)/sim/sim: $(call objects,sim/obj,$(SIM_SRC) $(SIM_LIB)) $(BUILD)/sources
	$(call link,$(CFLAGS) $(SIM_LD),$(PKG_LIBS))
$(BUILD)/sim-asan/sim: $(call objects,sim-asan/obj,$(SIM_SRC) $(SIM_LIB)) $(BUILD)/sources
	$(call link,$(ASAN) $(SIM_LD),$(PKG_LIBS))

# What a disk holds after the power went (tests/powercut/run): images are read by libext2fs.
powercut: $(BUILD)/powercut/powercut $(BUILD)/powercut/recover ## reads images of cut disks (libext2fs-dev), starts agents on them, in build/powercut/
$(BUILD)/powercut/powercut: $(call objects,obj,$(filter-out %/recover.c,$(wildcard tests/powercut/*.c))) $(BUILD)/obj/libaugurd.a
	$(call link,$(CFLAGS),-lext2fs -lcom_err $(PKG_LIBS))
$(BUILD)/powercut/recover: $(BUILD)/obj/tests/powercut/recover.o $(BUILD)/obj/libaugurd.a
	$(call link,$(CFLAGS),$(PKG_LIBS))

# One program a target; tests/fuzz/run runs them. Those of asan/fuzz run on the committed corpus with the unit tests.
FUZZFLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined
fuzz: $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c)) ## the fuzz targets (clang, libFuzzer), in build/fuzz/
$(BUILD)/fuzz/obj/%.o: CC = clang
$(BUILD)/fuzz/obj/%.o: %.c $(BUILD)/flags
	$(call compile,$(FUZZFLAGS) -fsanitize=fuzzer-no-link)
$(BUILD)/fuzz/obj/libaugurd.a: $(call objects,fuzz/obj,$(DAEMON_LIB)) $(BUILD)/sources
	$(archive)
$(BUILD)/fuzz/fuzz_json1: $(BUILD)/fuzz/obj/tools/mount/json1.o
$(BUILD)/asan/fuzz/fuzz_json1: $(BUILD)/asan/tools/mount/json1.o
$(BUILD)/fuzz/fuzz_fill $(BUILD)/asan/fuzz/fuzz_fill: FUZZ_LD = $(patsubst %,-Wl$(comma)--wrap=%,ask_start cache_write change_apply upcall_fill_begin upcall_fill_end db_queue)
$(BUILD)/fuzz/%: CC = clang
$(BUILD)/fuzz/%: $(BUILD)/fuzz/obj/tests/fuzz/%.o $(BUILD)/fuzz/obj/libaugurd.a
	$(call link,$(FUZZFLAGS) -fsanitize=fuzzer $(FUZZ_LD),$(PKG_LIBS))
$(BUILD)/asan/fuzz/%: $(BUILD)/asan/tests/fuzz/%.o $(BUILD)/asan/tests/fuzz/replay.o $(BUILD)/asan/libaugurd.a
	$(call link,$(ASAN) $(FUZZ_LD),$(PKG_LIBS))

-include $(shell find $(BUILD) -name '*.d' -not -name '.*' 2> /dev/null)
