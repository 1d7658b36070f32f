# deploy/host/prepare.sh on a machine that is none: namespaces of its own, and doubles for what belongs to AWS or to the system.
# Run by test_host.py as root: sh prepare_walk.sh DEPLOY SYSTEM BASE. What was called is in BASE/calls; /etc ends in BASE/etc.
set -eu
deploy=$1 system=$2 base=$3
mkdir -p $base/doubles $base/source/deploy $base/mnt
mount -t tmpfs walk $base/mnt
# An /etc that is forgotten at the end. Nothing goes on without it: what follows changes it as root.
fresh_etc() {
    ! mountpoint -q /etc || umount /etc
    rm -rf $base/mnt/upper $base/mnt/scratch
    mkdir $base/mnt/upper $base/mnt/scratch
    /bin/mount -t overlay walk -o lowerdir=/etc,upperdir=$base/mnt/upper,workdir=$base/mnt/scratch /etc
    mountpoint -q /etc || { echo "this is the machine's own /etc" >&2; exit 99; }
}
fresh_etc
for place in /srv /opt /var/lib /root /usr/local/lib; do mount -t tmpfs -o mode=755 walk $place; done
mkdir -p /dev/disk && mount -t tmpfs walk /dev/disk
mkdir -p /dev/disk/by-id /opt/aws/amazon-cloudwatch-agent/bin
cp -r "$deploy/host" "$deploy/drop-servers" $base/source/deploy/

double() { # a program that notes how it was called, and does what standard input says
    { printf '#!/bin/sh\necho "%s $*" >>%s/calls\n' "${1##*/}" $base; cat; } >"$1"
    chmod +x "$1"
}
cd $base/doubles
for name in mount xfs_growfs apt-get dpkg curl systemctl; do echo ':' | double $base/doubles/$name; done
[ -z "${BLKID_SAYS:-}" ] || echo "exit $BLKID_SAYS" | double $base/doubles/blkid
[ "$system" = ubuntu ] || echo ':' | double $base/doubles/dnf
# The volumes are files: the other machine lets go of the second one at the second try.
double $base/doubles/aws <<END
case "\$*" in
    *attach-volume*vol-0d*) ln -sf $base/drop.img /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0d ;;
    *attach-volume*vol-0e*)
        [ -e $base/asked ] || { touch $base/asked; exit 254; }
        ln -sf $base/work.img /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0e ;;
esac
END
echo 'shift; exec mkfs.ext4 -q -F "$@"' | double $base/doubles/mkfs.xfs # a filesystem all the same, for blkid to find
echo ':' | double $base/doubles/sleep
echo ':' | double /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl
echo 'getent group drop >/dev/null || groupadd --system drop; id s3batch >/dev/null 2>&1 || useradd --system --groups drop s3batch' | double $base/source/deploy/install.sh
[ -e $base/drop.img ] || truncate -s 8M $base/drop.img
truncate -s 8M $base/work.img

export PATH="$base/doubles:/usr/sbin:/usr/bin:/sbin:/bin"
code=0
keep=$base/source/deploy/host/keep.sh customer=$base/source/deploy/drop-servers/customer.sh
for time in 1 2; do
    $base/source/deploy/host/prepare.sh || { code=$?; break; }
    echo "-- again" >>$base/calls
    echo "S3BATCH_QUIET_PERIOD=2m" >>/etc/s3batch/s3batch.env # somebody's own line
done
cp -r /etc/s3batch /etc/fstab /etc/systemd/system/s3batch-measure.service $base/ 2>/dev/null || true
if [ "$system" = ubuntu ]; then cp /etc/vsftpd.conf $base/; else cp /etc/vsftpd/vsftpd.conf $base/; fi 2>/dev/null || true
if [ "${CUSTOMER:-}" ]; then
    # A customer is made, the machine is lost, and another one gets its volumes.
    useradd passer-by # so that the next free number is another on the other machine
    ssh-keygen -q -t ed25519 -N '' -f $base/key
    rm -f /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null # those of the other machine are the ones below
    "$customer" add ann --bucket acme-archive --folder in --key $base/key.pub >/dev/null
    echo 'ann:her password' | chpasswd
    "$keep" save /srv/s3batch/host
    facts() {
        getent passwd ann; getent shadow ann | cut -d: -f2; cat /etc/ssh/drop-keys/ann /etc/ssh/ssh_host_*.pub; grep ann /etc/fstab
        id -nG ann; cat /etc/s3batch/s3batch.env /etc/rsyslog.d/s3batch-sftp.user-ann.conf; ls -la /srv/jail/ann | tail -n +4 | awk '{ print $1, $NF }'
    }
    facts >$base/before
    stat -c '%a %U' /srv/s3batch/host >$base/host-folder
    cp -r /srv/s3batch/host $base/saved
    rm -rf /srv/jail
    fresh_etc
    : >$base/calls
    $base/source/deploy/host/prepare.sh || code=$?
    facts >$base/after
fi
cp /opt/aws/amazon-cloudwatch-agent/etc/s3batch.json $base/ 2>/dev/null || true
find /srv/drop -mindepth 1 -printf '%M %g %p\n' >$base/folders
exit $code
