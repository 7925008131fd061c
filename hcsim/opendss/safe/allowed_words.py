"""What scripts may say: commands, options and properties that have been looked through and found harmless.

Whatever is not listed does not reach OpenDSS. Reviewed against DSS C-API 0.14.5 (OpenDSS SVN 3723); a newer engine
may know more words, which are refused until they have been looked at and stand here.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMANDS = _words("""
    new edit more m ~ select solve enable disable reset compile set open close // redirect next clear clearall
    calcvoltagebases setkvbase buildy init allocateloads buscoords latlongcoords makebuslist makeposseq reduce
    interpolate setloadandgenkv setbusxy updatestorage batchedit reprocessbuses var remove reconductor
""")
"""Commands that define, change or solve a circuit and nothing else."""

LEFT_OUT = _words("""
    save show plot dump help quit ? panel sample about get export fileedit voltages currents powers seqvoltages
    seqcurrents seqpowers losses phaselosses cktlosses formedit totals capacity classes userclasses zsc zsc10
    zscrefresh ysc puvoltages varvalues varnames alignfile top rotate vdiff summary distribute di_plot comparecases
    yearlycurves cd visualize closedi doscmd estimate _initsnap _solvenocontrol _samplecontrols _docontrolactions
    _showcontrolqueue _solvedirect _solvepflow addbusmarker uuids cvrtloadshapes nodediff obfuscate pstcalc variable
    clearbusmarkers relcalc cleanup finishtimestep nodelist connect disconnect calcincmatrix calcincmatrix_o
    refine_buslevels calclaplacian exportoverloads exportvviolations zsc012 allpceatbus allpdeatbus totalpowers
    giscoords comhelp newactor wait solveall abort clone
""")
"""Commands that write files, open windows, start processes, ask or only talk: left out, and said. All others are
refused (rephase writes a script and runs it)."""

OPTIONS = _words("""
    type element hour sec year frequency stepsize mode random number time class object circuit tolerance
    maxiterations h loadmodel loadmult normvminpu normvmaxpu emergvminpu emergvmaxpu %mean %stddev ldcurve %growth
    genkw genpf capkvar addtype allowduplicates zonelock ueweight lossweight ueregs lossregs voltagebases algorithm
    trapezoidal autobuslist controlmode genmult defaultdaily defaultyearly allocationfactors cktmodel pricesignal
    pricecurve terminal basefrequency harmonics maxcontroliter bus keeplist reduceoption %normal markercode
    nodewidth cfactors numallociterations defaultbasefrequency markswitches switchmarkercode daisysize
    marktransformers transmarkercode transmarkersize loadshapeclass earthmodel markcapacitors markregulators
    markpvsystems markstorage capmarkercode regmarkercode pvmarkercode storemarkercode capmarkersize regmarkersize
    pvmarkersize storemarkersize neglectloady markfuses fusemarkercode fusemarkersize markreclosers
    reclosermarkercode reclosermarkersize markrelays relaymarkercode relaymarkersize sampleenergymeters
    miniterations keepload zmag seasonrating seasonsignal linetypes eventlogdefault longlinecorrection
""")
"""Of `set` and `solve`. The others name folders and editors, or have files written, and are left out."""

NATIVE_CODE = frozenset({"dynadata", "dynadll", "shaftdata", "shaftmodel", "userdata", "usermodel"})
"""Properties that load a shared library into the process, and what is handed to it."""

PROPERTIES = _words("""
    %charge %cutin %cutout %discharge %effcharge %effdischarge %error %fuel %idlingkvar %idlingkw %imag %kwband
    %kwbandlow %kwrated %loadloss %mag %mean %noloadloss %pminkvarmax %pminnovars %pmpp %r %r1 %r2 %ratecharge
    %ratekw %reserve %rs %seriesrl %stddev %stored %x 3phaselosses 46%pickup 46baseamps 46isqt 47%pickup action
    activepchangetolerance allocationfactor amplimit amplimitgain amps angle argrahiv argralowv avgwindowlen b0 b1
    balanced band bank basefreq basekv basemva bp1 bp2 breakertime bus bus1 bus2 buses bush busnh busnx busx c c0 c1
    c_array caidi capacitor capradius cfactor chargetrigger class clear climit cmatrix cncable cncables cogen
    combimode cond conn conns controlmode controlmodel controlsignal core csvfile ctphase ctprim ctratio cuf
    currents custinterrupts cvrcurve cvrvars cvrwatts d d0 daily dblfile dbvmax dbvmin deadtime debugtrace delay
    delayoff deltadirection deltap_factor deltaq_factor derlist diacable diains diam diashield diastrand
    dischargetrigger dispfactor dispmode dispvalue distreverse doc_delayinner doc_p1blocking doc_phasecurveinner
    doc_phasetripinner doc_tdphaseinner doc_tiltanglehigh doc_tiltanglelow doc_tripsettinghigh doc_tripsettinglow
    doc_tripsettingmag domain duty dutystart dynamiceq dynout dynreacavgwindowlen earthmodel ee effcurve element
    elementlist emergamps emerghkva en enabled epsr eventlog expression faultrate filter flrise forceon frequency
    fsample fuelkwh fusecurve genlist geometry gmatrix gmrac gmrstrand gmrunits groundcurve grounddelayed groundfast
    groundinst groundtrip growth h harm harmonic hour hsrise hysteresis_offset iacmax idcmax imaxpu inhibittime
    inslayer int_duration int_rate interpolation interval inversetime irmstau irradiance isc1 isc3 k kp kron kv kva
    kvac kvaemerg kvanormal kvar kvarlimit kvarmax kvarmaxabs kvars kvas kvbase kvdc kvll1 kvll2 kvs kw kwactual
    kwband kwbandlow kwh kwhactual kwhdays kwhrated kwhstored kwhtotal kwlimit kwneed kwrated kws kwtarget
    kwtargetlow kwthreshold kwtotal lat1 lat2 lcurve ldc_z leadlag length like limitcurrent linecode linelosses
    linetype lmh localcontrollist localcontrolweights localonly lock lon1 lon2 losscurve losses lpftau m m0 mask
    maxkvar maxslip maxtap maxtapchange mean memorymapping mground minamps minkvar mintap minterval mmax mmin mode
    modecharge modedischarge model monbus monbusesvbase monitoredobj monitoredterm monphase monvoltagecalc mphase
    mult mva mvasc1 mvasc3 n nconds ndc neutral normal normamps normhkva nphases npts numcust numfast numharm
    numsteps numtaps nvariables offsetting onsetting ontime option overtrip overvoltcurve p-tcurve pacref parallel
    pbase pctminkvar pctperm peakcurrent pf pfpriority phasecurve phasedelayed phasefast phaseinst phases phasetrip
    phasevoltagereport pitol pmax pmpp pmult points ppct ppm_antifloat ppolar pqcsvfile prated preferq price ptphase
    ptratio pu purr purs puxharm puxm puxr puxs puz0 puz1 puz2 puzideal pvfactor pvsystemlist pvsystemweights qacref
    qbase qbias qmax qmaxlag qmaxlead qmult r r0 r1 r2 rac radius radunits ratedcurrent rateofchangemode ratings
    rcurve rdc rdcohms recloseintervals reduce refkv refkv2 refreactivepower refuel relweight remoteptratio repair
    reset resetlevel residual rev_z revband revdelay reversible revneutral revr revthreshold revvreg revx rg rho
    risefalllimit rmatrix rmsmode rneut rp rstrand runits safemode safevoltage saidi saifi saifikw scantype seasons
    seasontargets seasontargetslow seqlosses sequence shots sinterval slip slipoption slope sngfile spacing spectrum
    state states status stddev storagelist storageweights sub subname switch switchedobj switchedterm t_array tap
    tapdelay tapelap tapelayer tapnum taps tapwinding tdaily tdgrdelayed tdgrfast tdground tdn tdphase tdphdelayed
    tdphfast tduty temp temperature temporary terminal tflat thermal timechargetrig timechargetrigger
    timedischargetrigger tol1 transformer tresponse tscable tscables tup tyearly type undertrip undervoltcurve units
    upfclist useactual usefuel vacref var varchangetolerance varcurve varfollowinverter variable varidx varnames
    vbaselosses vbus vdcref vhlimit vipolar vlimit vllimit vlowpu vmax vmaxpu vmin vminemerg vminnorm vminpu
    voltage_curvex_ref voltagechangetolerance voltoverride volts voltwatt_curve voltwattch_curve voltwattyaxis
    vpqmax vpu vrated vreg vregmax vregmin vregtau vrmstau vscmode vsetpoint vv_refreactivepower vvc_curve1
    wattpf_curve wattpriority wattvar_curve wdg wdgcurrents weight weights winding windings wire wires x x0 x0r0 x1
    x12 x13 x1r1 x23 xac xarray xd xdp xdpp xfkva xfmrcode xfmrlosses xg xhl xht xhx xl xlt xmatrix xneut xrconst
    xrdp xrharm xs xscale xscarray xshift xxt y yarray year yearly yscale yshift z z0 z0ang z0mag z1 z1ang z1mag z2
    zipv zonelist
""")
"""Of all classes."""

FILE_CLASSES = frozenset({"loadshape", "tshape", "priceshape", "growthshape", "xycurve", "spectrum"})
FILE_PROPERTIES = frozenset({"csvfile", "sngfile", "dblfile", "pqcsvfile"})
"""In these classes they name a file to be read."""

ACTIONS = {"loadshape": "n", "tshape": "", "priceshape": "", "monitor": "ct", "energymeter": "ctar"}
"""Class -> first letters of the actions that write no file (normalize; clear, take; allocate, reduce)."""

SET_BY_ENGINE = frozenset(
    {
        "@lastfile",
        "@lastexportfile",
        "@lastshowfile",
        "@lastplotfile",
        "@lastredirectfile",
        "@lastcompilefile",
        "@result",
    }
)
"""Variables whose value is known to OpenDSS only while it runs."""
