# The released binary, which is static. sha256 is that of the tarball in SHA256SUMS.
{ stdenvNoCC, fetchurl, installShellFiles, coreutils, version ? "0.1.0", sha256 }:
let
  arch = {
    x86_64-linux = "amd64";
    aarch64-linux = "arm64";
    armv7l-linux = "armv7";
    armv6l-linux = "armv6";
  }.${stdenvNoCC.hostPlatform.system};
in
stdenvNoCC.mkDerivation {
  pname = "mother-of-dragons";
  inherit version;
  src = fetchurl {
    url = "https://github.com/brndnmtthws/mother-of-dragons/releases/download/v${version}/mother-of-dragons-${version}.linux-${arch}.tar.gz";
    inherit sha256;
  };
  nativeBuildInputs = [ installShellFiles ];
  installPhase = ''
    install -D -t $out/bin mother-of-dragons
    install -D -m 0644 -t $out/lib/systemd/system mother-of-dragons.service
    substituteInPlace $out/lib/systemd/system/mother-of-dragons.service \
      --replace-fail /usr/bin/ $out/bin/ --replace-fail /bin/kill ${coreutils}/bin/kill
    installManPage man/*
    installShellCompletion --bash --name mother-of-dragons completion/completion.bash
    installShellCompletion --zsh --name _mother-of-dragons completion/completion.zsh
    mkdir -p $out/share/mother-of-dragons
    cp -r alerts dashboards docs examples mother-of-dragons.cdx.json $out/share/mother-of-dragons
  '';
  meta = {
    description = "Exporter and healer for DragonMint and Innosilicon miners";
    homepage = "https://github.com/brndnmtthws/mother-of-dragons";
    mainProgram = "mother-of-dragons";
  };
}
