# The service on NixOS: the unit of the packages, with its configuration where it looks for it.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.mother-of-dragons;
  file = (pkgs.formats.yaml { }).generate "mother-of-dragons.yml" cfg.settings;
in
{
  options.services.mother-of-dragons = {
    enable = lib.mkEnableOption "the exporter and healer for DragonMint and Innosilicon miners";
    package = lib.mkOption {
      type = lib.types.package;
      description = "The program, such as pkgs.callPackage ./package.nix { sha256 = \"…\"; }.";
    };
    settings = lib.mkOption {
      type = (pkgs.formats.yaml { }).type;
      example = { networks = [{ cidr = "192.0.2.0/24"; }]; };
      description = ''
        The configuration file; docs/configuration.md has every key. It needs at least networks. Everybody
        on the host can read it: keep passwords in files that it names.
      '';
    };
    extraFlags = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "--dragon-health-reboot" ];
      description = "More options of the service.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."mother-of-dragons/mother-of-dragons.yml".source = file;
    environment.etc."default/mother-of-dragons".text = "OPTIONS=\"${lib.concatStringsSep " " cfg.extraFlags}\"\n";
    users.users.mother-of-dragons = {
      isSystemUser = true;
      group = "mother-of-dragons";
      home = "/var/lib/mother-of-dragons";
    };
    users.groups.mother-of-dragons = { };
    systemd.packages = [ cfg.package ];
    systemd.services.mother-of-dragons = {
      wantedBy = [ "multi-user.target" ];
      reloadTriggers = [ file ];
      restartTriggers = cfg.extraFlags;
    };
  };
}
