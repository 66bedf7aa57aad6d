#!/usr/bin/env bash
# Builds a real Kubernetes for tests out of Debian's source package, into FOLDER/bin: no registry has one ready.
# Nothing is put on the machine but the packages of kubernetes.txt; it takes 5 to 8 minutes and 2 GB while it builds.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/bin"
into=$(cd "$1" && pwd)
work=$into/build
parts=(kube-apiserver kube-controller-manager kube-scheduler kubelet)
trap 'rm -rf "$work"' EXIT
rm -rf "$work"

"$here/debian.sh" "$here/kubernetes.txt"

# Debian's archives as apt knows them, asked for sources in lists of our own: the machine's stay as they are.
mkdir -p "$work/lists/partial"
apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' \
	'Created-By: Packages' 'Origin: Debian' | sort -u >"$work/src.list"
[ -s "$work/src.list" ] || { echo "==> apt knows no archive of Debian's here" >&2; exit 1; }
lists=(-o "Dir::Etc::sourcelist=$work/src.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
echo "==> fetching the source of Kubernetes and etcd"
cd "$work"
apt-get "${lists[@]}" update -qq
apt-get "${lists[@]}" source --download-only -qq kubernetes
# Its package would start a server of its own; the program is enough.
apt-get -o APT::Sandbox::User=root download -qq etcd-server
dpkg-deb --extract etcd-server_*.deb "$work/etcd"
install -m 755 "$work/etcd/usr/bin/etcd" "$into/bin/etcd"

tree=$work/go/src/k8s.io/kubernetes
mkdir -p "$tree"
source=$(ls kubernetes_*.orig.tar.*)
tar --extract --file "$source" --strip-components=1 --directory "$tree"
# The source does not say its own release, only its folder does; without one the server would call itself v0.0.0.
release=$(tar --list --file "$source" | sed -nE '1s#^kubernetes-([0-9]+\.[0-9]+\.[0-9]+).*#\1#p')
[ -n "$release" ] || { echo "==> $source does not say which release it is" >&2; exit 1; }
IFS=. read -r major minor _ <<<"$release"
cd "$tree"
[ -f vendor/modules.txt ] || { echo "==> this release of Debian's has Kubernetes without its libraries; bookworm's has them" >&2; exit 1; }
export GO111MODULE=off GOPATH=$work/go GOCACHE=$work/cache GOPROXY=off CGO_ENABLED=0
told="-s -w"
for of in component-base client-go/pkg; do
	about=k8s.io/kubernetes/vendor/k8s.io/$of/version
	told+=" -X $about.gitVersion=v$release -X $about.gitMajor=$major -X $about.gitMinor=$minor"
done
build() { nice -n 10 go build -p "${JOBS:-2}" -ldflags "$told" -o "$1" "$2"; }

# What describes all kinds of objects is not in the source: its own generator writes it.
echo "==> writing the descriptions of objects"
build "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
described=$(grep -rlE --include='*.go' '^// *\+k8s:openapi-gen=' pkg staging/src |
	grep -vE 'zz_generated|_test\.go$|/code-generator/|/sample-' | xargs -n 1 dirname | sort -u |
	sed -e 's#^staging/src/#vendor/#' -e 's#^#k8s.io/kubernetes/#' | paste -sd,)
"$work/openapi-gen" --input-dirs "$described" --output-package k8s.io/kubernetes/pkg/generated/openapi \
	--output-file-base zz_generated.openapi --go-header-file /dev/null --report-filename "$work/report"
for part in "${parts[@]}"; do
	echo "==> building $part"
	build "$into/bin/$part" "./cmd/$part"
done
has=$("$into/bin/kube-apiserver" --version)
echo "==> $into/bin has: $has"
[ "$has" = "Kubernetes v$release" ] || { echo "==> that should be $release" >&2; exit 1; }
