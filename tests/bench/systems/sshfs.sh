# SPDX-License-Identifier: GPL-2.0-or-later
# sshfs: with its defaults; the server is srv1's sshd. It encrypts, which the others here do not.
PROGRAMS="/usr/bin/sshfs /usr/bin/ssh /usr/bin/ssh-keygen /usr/sbin/sshd /usr/lib/openssh/sftp-server"
SSH_DIR=/run/bench-ssh
sys_up() {
	modprobe fuse
	[ ! -d "$SSH_DIR" ] || return 0
	mkdir -p -m 700 "$SSH_DIR" /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f "$SSH_DIR/host" && ssh-keygen -q -t ed25519 -N '' -f "$SSH_DIR/key" || return 1
	cp "$SSH_DIR/key.pub" "$SSH_DIR/authorized"
	printf '%s\n' 'ListenAddress 10.9.0.1:22' "HostKey $SSH_DIR/host" "AuthorizedKeysFile $SSH_DIR/authorized" \
		'PermitRootLogin yes' 'StrictModes no' 'UsePAM no' 'UseDNS no' 'Subsystem sftp /usr/lib/openssh/sftp-server' > "$SSH_DIR/sshd"
	printf '10.9.0.1 %s\n' "$(cut -d' ' -f1,2 "$SSH_DIR/host.pub")" > "$SSH_DIR/known"
	on srv1 /usr/sbin/sshd -f "$SSH_DIR/sshd"
}
sys_mount() { on client sshfs -o "IdentityFile=$SSH_DIR/key,UserKnownHostsFile=$SSH_DIR/known" root@10.9.0.1:/origin "$MNT"; }
