#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kills: acceptance's 32 readers while augurd is killed and started again, under the checkers and a few times only.
# timeout: 400
. /payload/tests/lib/guest.sh

requires module daemon tools
KILLS=6 MIB=4 BUG='' bash "$T/accept.d/guest/kills.sh" | tee "$RUN/kills"
is "$(grep -c ^figure "$RUN/kills")" 5 "figures"
is "$(grep -P '^figure\tshort' "$RUN/kills" || :)" "" "what falls short"
no_leaks
