# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion of augur: verbs and options are asked of the command itself, so this file
# needs no change when a verb is added. Installed as bash-completion/completions/augur.

_augur()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd=${COMP_WORDS[0]} verb= w i
	local -a verbs
	mapfile -t verbs < <("$cmd" --list-verbs 2> /dev/null)
	for ((i = 1; i < COMP_CWORD; i++)); do
		for w in "${verbs[@]}"; do
			[ "${COMP_WORDS[i]}" != "$w" ] || verb=$w
		done
		[ -z "$verb" ] || break
	done
	COMPREPLY=()
	case $prev in
	--ctl | --file | -f | --cache)
		[ "$verb" = log ] || { compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return; } ;;
	--timeout | --depth | --bytes | -n | --lines | --source) return ;;
	esac
	if [[ $cur == -* ]]; then
		local opts
		opts="--json --ctl --timeout --help $([ -z "$verb" ] || "$cmd" "$verb" --help 2> /dev/null | grep -oE -- '--[a-z]+' | sort -u | tr '\n' ' ')"
		mapfile -t COMPREPLY < <(compgen -W "$opts" -- "$cur")
	elif [ -z "$verb" ]; then
		mapfile -t COMPREPLY < <(compgen -W "${verbs[*]} help" -- "$cur")
	elif [ "$verb" = abort ] || [ "$verb" = log ]; then
		# mount points, read from /proc: completing must not touch a mount that hangs
		mapfile -t COMPREPLY < <(compgen -W "$(awk '$3 == "augurfs" { print $2 }' /proc/self/mounts 2> /dev/null)" -- "$cur")
	else
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -F _augur augur
